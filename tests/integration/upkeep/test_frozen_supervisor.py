"""A supervisord that is stopped holds up nobody who speaks to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from console.supervision.client import SupervisorNotRunning, SupervisorSilent, connected
from console.supervision.stop import down
from jobs.process import supervisor
from jobs.process.clock import utc_now
from jobs.settings.load import load
from jobs.upkeep.health.restarts import Restarter

CONFIG = """
[unix_http_server]
file = {socket}
[supervisord]
nodaemon = true
logfile = /dev/null
logfile_maxbytes = 0
pidfile = {pid_file}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
STARTED_SECONDS = 20.0
LIMIT_SECONDS = 1.0


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[Path]:
    """The socket of a supervisord that answered, and was stopped then."""
    socket, config = tmp_path / "s.sock", tmp_path / "supervisord.conf"
    pid_file = tmp_path / "supervisord.pid"  # it is written after the socket is there
    config.write_text(CONFIG.format(socket=socket, pid_file=pid_file))
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)]
    environ = {**os.environ, "KOS_SUPERVISOR_SOCKET": str(socket)}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environ)
    deadline = time.monotonic() + STARTED_SECONDS
    while not (socket.exists() and pid_file.exists() and pid_file.read_text().endswith("\n")):
        assert time.monotonic() < deadline, "supervisord did not start"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGSTOP)
    yield socket
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGCONT)
    process.terminate()
    process.wait(timeout=STARTED_SECONDS)


def test_a_frozen_supervisord_holds_up_the_health_checker_for_one_time_limit(
    frozen: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor, "CALL_TIMEOUT_SECONDS", LIMIT_SECONDS)

    began = time.monotonic()
    assert Restarter(frozen).start_fatal(utc_now()) == []

    assert LIMIT_SECONDS <= time.monotonic() - began < 10 * LIMIT_SECONDS
    assert "supervisor_not_asked" in caplog.text


def test_a_frozen_supervisord_is_told_from_one_that_is_not_there(frozen: Path) -> None:
    with connected(frozen, seconds=LIMIT_SECONDS) as found, pytest.raises(SupervisorSilent):
        found.status()
    with connected(frozen.with_name("none")) as found, pytest.raises(SupervisorNotRunning):
        found.status()


def test_kos_down_ends_a_frozen_supervisord(
    frozen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "CALL_TIMEOUT_SECONDS", LIMIT_SECONDS)
    (tmp_path / "run").mkdir()
    pid = int((tmp_path / "supervisord.pid").read_text())
    settings = load({"KOS_HOME": str(tmp_path), "KOS_SUPERVISOR_SOCKET": str(frozen)})

    assert down(settings)

    assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # its parent is this test
