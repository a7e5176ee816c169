from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from console.foreign_imports import foreign_import

KOS = "from console.cli.main import main; raise SystemExit(main())"


def test_our_own_packages_are_found() -> None:
    assert foreign_import() is None


@pytest.mark.parametrize("file", ["llm.py", "llm/__init__.py", "jobs/__init__.py", "models.py"])
def test_the_doctor_names_a_package_of_another_program_in_front_of_ours(
    tmp_path: Path, file: str
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("")
    paths = f"{tmp_path}{os.pathsep}{Path.cwd()}"

    ran = subprocess.run(
        [sys.executable, "-c", KOS, "doctor"],
        env={**os.environ, "PYTHONPATH": paths, "KOS_HOME": str(tmp_path)},
        cwd=tmp_path.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ran.returncode == 1
    (line,) = (one for one in (ran.stdout + ran.stderr).splitlines() if "is that of" in one)
    assert str(tmp_path / file.partition("/")[0]) in line
    assert "pipx" in line
    assert "Traceback" not in ran.stderr


def test_a_package_that_shares_our_directory_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = {"llm": ["knowledge-os-jobs", "llm"], "kos_client": ["knowledge-os-jobs"]}
    monkeypatch.setattr(metadata, "packages_distributions", lambda: owners)

    assert foreign_import() == "llm is also in the package llm"
