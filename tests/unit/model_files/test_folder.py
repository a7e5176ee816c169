"""Models come into the folder whole, or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors import SafetensorError

from llm.mlx_server.catalog import LocalModels
from llm.model_files.errors import ModelFileError
from llm.model_files.folder import STAGING, ModelsFolder
from tests.support.gguf_models import write_gguf
from tests.support.tiny_models import build_llama

DIES_HALF_WAY = """
import os, signal, sys
from pathlib import Path
from llm.model_files.folder import ModelsFolder
def kill_at_half(share):
    if share > 0.5:
        os.kill(os.getpid(), signal.SIGKILL)
ModelsFolder(Path(sys.argv[1])).add_file(
    Path(sys.argv[2]), name=None, sha256=None, on_progress=kill_at_half
)
"""


@pytest.fixture
def folder(tmp_path: Path) -> ModelsFolder:
    return ModelsFolder(tmp_path / "models")


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "tiny.gguf")


def add(
    folder: ModelsFolder, gguf: Path, *, name: str | None = None, sha256: str | None = None
) -> str:
    return folder.add_file(gguf, name=name, sha256=sha256, on_progress=lambda share: None)


def nothing_is_there(folder: ModelsFolder) -> bool:
    return folder.names() == () and not list(folder.path.glob(f"{STAGING}*"))


def test_a_gguf_file_becomes_a_model_that_the_server_lists(
    folder: ModelsFolder, gguf: Path
) -> None:
    assert add(folder, gguf) == "tiny"

    entry = LocalModels(folder.path, max_context_tokens=4096).find("tiny")
    assert (entry.family, entry.quantization, entry.context_tokens) == ("llama", "4bit", 256)
    assert entry.chats


def test_a_folder_of_mlx_lm_is_copied(folder: ModelsFolder, tmp_path: Path) -> None:
    source = build_llama(tmp_path / "mine")

    assert folder.add_folder(source, name=None) == "mine"
    assert folder.names() == ("mine",)


def test_a_file_name_with_spaces_makes_a_name_that_fits(
    folder: ModelsFolder, tmp_path: Path
) -> None:
    gguf = write_gguf(tmp_path / "My Llama (1) é.gguf")

    assert add(folder, gguf) == "My-Llama-1"


def test_a_link_is_followed_and_called_as_it_is(folder: ModelsFolder, tmp_path: Path) -> None:
    """The cache of a hub keeps files as links to blobs."""
    blob = write_gguf(tmp_path / "blob")
    (tmp_path / "linked.gguf").symlink_to(blob)
    source = build_llama(tmp_path / "snapshot")
    (source / "model.safetensors").rename(tmp_path / "weights")
    (source / "model.safetensors").symlink_to(tmp_path / "weights")
    (tmp_path / "mine").symlink_to(source)

    assert add(folder, tmp_path / "linked.gguf") == "linked"
    assert folder.add_folder(tmp_path / "mine", name=None) == "mine"

    assert not any(file.is_symlink() for file in folder.path.rglob("*"))


def test_a_model_that_is_a_link_is_removed_without_what_it_points_to(
    folder: ModelsFolder, tmp_path: Path
) -> None:
    source = build_llama(tmp_path / "mine")
    folder.path.mkdir()
    (folder.path / "mine").symlink_to(source)

    folder.remove("mine")

    assert nothing_is_there(folder)
    assert (source / "model.safetensors").is_file()


def test_a_folder_with_half_a_weights_file_is_refused(folder: ModelsFolder, tmp_path: Path) -> None:
    source = build_llama(tmp_path / "mine")
    weights = source / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])

    with pytest.raises(ModelFileError, match="damaged or cut short"):
        folder.add_folder(source, name=None)
    assert folder.names() == ()


def test_the_checksum_decides(folder: ModelsFolder, gguf: Path) -> None:
    with pytest.raises(ModelFileError, match="another file"):
        add(folder, gguf, sha256="0" * 64)
    assert folder.names() == ()

    assert add(folder, gguf, sha256=hashlib.sha256(gguf.read_bytes()).hexdigest()) == "tiny"


def test_a_damaged_file_leaves_nothing(folder: ModelsFolder, gguf: Path) -> None:
    gguf.write_bytes(gguf.read_bytes()[:-5000])

    with pytest.raises(ModelFileError, match="damaged"):
        add(folder, gguf)
    assert nothing_is_there(folder)


def test_a_disk_without_room_is_told_before_anything_is_written(
    folder: ModelsFolder, gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(total=100, used=90, free=10)
    monkeypatch.setattr("llm.model_files.folder.shutil.disk_usage", lambda path: usage)

    with pytest.raises(ModelFileError, match="too full"):
        add(folder, gguf)
    assert nothing_is_there(folder)


def test_a_disk_that_fills_meanwhile_leaves_nothing(folder: ModelsFolder, gguf: Path) -> None:
    def fill(share: float) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ModelFileError, match="is full: nothing was added"):
        folder.add_file(gguf, name=None, sha256=None, on_progress=fill)
    assert nothing_is_there(folder)


def test_a_disk_that_is_full_at_the_weights_is_told_as_such(
    folder: ModelsFolder, gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        )

    monkeypatch.setattr("llm.model_files.conversion.save_file", refuse)

    with pytest.raises(ModelFileError, match="is full: nothing was added"):
        add(folder, gguf)
    assert nothing_is_there(folder)


def test_an_interrupt_leaves_nothing(folder: ModelsFolder, gguf: Path) -> None:
    def interrupt(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.add_file(gguf, name=None, sha256=None, on_progress=interrupt)
    assert nothing_is_there(folder)


def test_what_a_killed_one_left_is_unseen_and_cleared_by_the_next(
    folder: ModelsFolder, gguf: Path
) -> None:
    command = [sys.executable, "-c", DIES_HALF_WAY, str(folder.path), str(gguf)]
    died = subprocess.run(command, check=False, timeout=60)

    assert died.returncode == -signal.SIGKILL
    assert list(folder.path.glob(f"{STAGING}*"))
    assert folder.names() == ()
    assert LocalModels(folder.path, max_context_tokens=4096).entries() == ()
    assert add(folder, gguf) == "tiny"
    assert not list(folder.path.glob(f"{STAGING}*"))


def test_a_model_that_is_there_is_never_overwritten(folder: ModelsFolder, gguf: Path) -> None:
    add(folder, gguf)

    with pytest.raises(ModelFileError, match="kos models rm tiny"):
        add(folder, gguf)

    folder.remove("tiny")
    assert nothing_is_there(folder)
    assert add(folder, gguf) == "tiny"


@pytest.mark.parametrize("name", ["../up", ".hidden", "a/b", "", "x" * 200])
def test_a_name_stays_inside_the_folder(folder: ModelsFolder, gguf: Path, name: str) -> None:
    if name:
        with pytest.raises(ModelFileError, match="cannot name a model"):
            add(folder, gguf, name=name)
    with pytest.raises(ModelFileError, match="no model"):
        folder.remove(name)
