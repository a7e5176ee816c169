"""The models folder of the MLX API server: models are added and removed atomically."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open

from llm.model_files.conversion import OnProgress, convert
from llm.model_files.errors import ModelFileError
from llm.model_files.fetching import check_sum, fetch
from llm.model_files.known import KNOWN, KnownModel

STAGING = ".adding-"
_LOCK = ".adding.lock"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tekken.json")
_SPACE = 1.15  # The size of the converted model relative to its source, with a margin.

Fill = Callable[[Path], None]


class ModelsFolder:
    """``add`` builds in a hidden folder beside the models and renames it when it is complete."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> tuple[str, ...]:
        """The models one or two levels deep, as the MLX API server names them."""
        files = (*self.path.glob("*/config.json"), *self.path.glob("*/*/config.json"))
        folders = (file.parent.relative_to(self.path) for file in files)
        return tuple(sorted(f.as_posix() for f in folders if not f.parts[0].startswith(".")))

    def has(self, name: str) -> bool:
        return name in self.names()

    def add_known(self, name: str, *, on_progress: OnProgress) -> str:
        """Fetch, check and convert a model of ``known.KNOWN``. Returns its folder's name."""
        known = KNOWN[name]
        return self._add(
            known.folder,
            lambda staging: _fetch_and_convert(known, staging, on_progress),
            needs_bytes=int(known.download_bytes * (1 + 2 * _SPACE)),
        )

    def add_file(
        self, file: Path, *, name: str | None, sha256: str | None, on_progress: OnProgress
    ) -> str:
        """Convert a GGUF file. Returns the folder's name."""
        if sha256 is not None:
            check_sum(file, sha256)
        return self._add(
            name or _fitting(file.stem),
            lambda staging: convert(file, staging / "model", on_progress=on_progress),
            needs_bytes=int(file.stat().st_size * _SPACE),
        )

    def add_folder(self, folder: Path, *, name: str | None) -> str:
        """Copy a folder of mlx-lm. Returns its name here."""
        check_folder(folder)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        return self._add(
            name or _fitting(Path(os.path.abspath(folder)).name),  # A link keeps its own name.
            lambda staging: _copy(folder, staging / "model"),
            needs_bytes=size,
        )

    def remove(self, name: str) -> None:
        """Remove a model; it disappears from the list at once. Raises ModelFileError if there is
        none of this name."""
        if not self.has(name):
            raise ModelFileError(f"there is no model {name!r} in {self.path}")
        with self._alone():
            bin_ = Path(tempfile.mkdtemp(prefix=STAGING, dir=self.path))
            (self.path / name).rename(bin_ / "model")
            shutil.rmtree(bin_)

    def _add(self, name: str, fill: Fill, *, needs_bytes: int) -> str:
        if not _NAME.fullmatch(name):
            raise ModelFileError(f"{name!r} cannot name a model: use letters, digits, . _ -")
        target = self.path / name
        self.path.mkdir(parents=True, exist_ok=True)
        with self._alone():
            if target.exists():
                raise ModelFileError(f"{target} is there already: `kos models rm {name}` first")
            self._check_space(needs_bytes)
            staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=self.path))
            try:
                (staging / "model").mkdir()
                fill(staging)
                _sync(staging / "model")
                (staging / "model").rename(target)
            except OSError as error:
                raise _readable(error, self.path) from error
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        return name

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Allow one change at a time, and first remove what a killed one left behind."""
        with (self.path / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ModelFileError(
                    f"another `kos models` changes {self.path} just now: wait for it"
                ) from error
            for left in self.path.glob(f"{STAGING}*/"):
                shutil.rmtree(left, ignore_errors=True)
            yield

    def _check_space(self, needs_bytes: int) -> None:
        free = shutil.disk_usage(self.path).free
        if free < needs_bytes:
            raise ModelFileError(
                f"the disk of {self.path} is too full: {needs_bytes / 1e6:.0f} MB are needed, "
                f"{free / 1e6:.0f} MB are free"
            )


def _fitting(name: str) -> str:
    """A file's name as a model name: "My Llama (1).gguf" becomes My-Llama-1."""
    return _UNFIT.sub("-", name).strip("-._")


def check_folder(folder: Path) -> None:
    """Raise ModelFileError if mlx-lm could not load the folder."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{folder} has no readable config.json: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise ModelFileError(f"{folder}/config.json names no model_type")
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise ModelFileError(f"{folder} has no tokenizer ({', '.join(_TOKENIZERS)})")
    weights = sorted(folder.glob("model*.safetensors"))
    if not weights:
        raise ModelFileError(f"{folder} has no model*.safetensors")
    for file in weights:
        try:
            with safe_open(file, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            raise ModelFileError(f"{file} is damaged or cut short: {error}") from error


def _fetch_and_convert(known: KnownModel, staging: Path, on_progress: OnProgress) -> None:
    on_progress(0.0)
    convert(fetch(known, staging), staging / "model", on_progress=on_progress)


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True, symlinks=False)


def _sync(folder: Path) -> None:
    """Write to disk before the rename, so that a listed model is complete even after a power
    failure."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as written:
                os.fsync(written.fileno())


def _readable(error: OSError, folder: Path) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ModelFileError(f"the disk of {folder} is full: nothing was added")
    return error
