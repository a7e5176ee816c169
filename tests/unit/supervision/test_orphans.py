"""A supervisor whose home was deleted is ended before a new home at its path starts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from console.supervision.orphans import end_orphans

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    processes = []

    def starting(role: str, **environ: str) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-c",
            f"print(1, flush=True); import time; time.sleep(600)#{role}",
        ]
        process = subprocess.Popen(command, env={**os.environ, **environ}, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        processes.append(process)
        return process

    yield starting
    for process in processes:
        process.kill()
        process.communicate()


def test_the_supervisor_of_a_deleted_home_and_its_programs_are_ended(
    tmp_path: Path, start: Start
) -> None:
    socket = tmp_path / "home" / "run" / "supervisor.sock"
    supervisor = start("supervisord", KOS_SUPERVISOR_SOCKET=str(socket))
    program = start("worker", SUPERVISOR_SERVER_URL=f"unix://{socket}")
    loaded_shell = start("shell", KOS_SUPERVISOR_SOCKET=str(socket))
    other_home = start("supervisord", KOS_SUPERVISOR_SOCKET=f"{socket}2")

    assert end_orphans(tmp_path / "home", socket) == 2

    assert supervisor.wait(60) != 0
    assert program.wait(60) != 0
    assert loaded_shell.poll() is None
    assert other_home.poll() is None
