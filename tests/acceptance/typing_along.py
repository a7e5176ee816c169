"""Somebody with a ``kos`` and a ``python`` on the path, who types what a document shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from jobs.settings.load import PROJECT
from tests.acceptance.house import KOS, House

BOX_SECONDS = 240


def newcomers(made: House, directory: Path) -> House:
    """The same house with programs on the path, put below ``directory``."""
    programs = directory / "bin"
    programs.mkdir()
    for name, words in (("python", ""), ("kos", f" -c '{KOS}'")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}"{words} "$@"\n')
        program.chmod(0o755)
    path = f"{programs}:{made.environ['PATH']}"
    more = {"PATH": path, "LANG": "C.UTF-8", "PYTHONPATH": str(PROJECT)}
    return House(made.home, {**made.variables, **more})


def type_box(commands: str, newcomer: House, directory: Path) -> str:
    """What ``commands`` print, both streams together; they must succeed."""
    done = subprocess.run(
        ["sh", "-eu", "-c", commands],
        env=newcomer.environ,
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=BOX_SECONDS,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}"
    return done.stdout
