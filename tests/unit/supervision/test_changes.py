"""Which changed settings a restart applies, and which need a new start."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.supervision.changes import Applied, present, since
from jobs.settings.load import load


def started(environ: dict[str, str], home: Path) -> Applied:
    everything = {"KOS_HOME": str(home), "OLLAMA_API_URL": "http://x", **environ}
    return present(load(everything, in_container=False), everything)


@pytest.fixture
def backends(tmp_path: Path) -> Path:
    path = tmp_path / "backends.toml"
    path.write_text('[[backend]]\nname = "odd"\nkind = "openai"\nurl = "http://y"\n')
    return path


def test_a_file_of_servers_that_a_shell_names_only_now_is_applied(
    tmp_path: Path, backends: Path
) -> None:
    """``kos up`` writes its name into the home, where programs that start again read it."""
    before = started({}, tmp_path)

    found = since(before, started({"KOS_BACKENDS_FILE": str(backends)}, tmp_path))

    assert found.waiting == ()
    assert found.applied == ("KOS_BACKENDS_FILE", "KOS_BACKENDS_FILE (contents)")


def test_new_contents_of_a_file_that_the_programs_know_restart_them(
    tmp_path: Path, backends: Path
) -> None:
    environ = {"KOS_BACKENDS_FILE": str(backends)}
    before = started(environ, tmp_path)
    backends.write_text(backends.read_text().replace("odd", "even"))

    found = since(before, started(environ, tmp_path))

    assert found.waiting == ()
    assert found.applied == ("KOS_BACKENDS_FILE (contents)",)
    assert "jobs:*" in found.programs
