"""Our programs as processes that are forked instead of started anew.

Importing costs a program more than half a second of processor time, and the tests start over a
thousand. One process imports everything once; each program is a fork of it, runs as
``python -m MODULE`` would, and ends when the process that started it does.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMPORTED = ["jobs.worker", "jobs.listener", "jobs.scheduler", "jobs.health_checker",
            "llm.simulator.cli", "console.web.__main__", "gateway.__main__",
            "jsonschema"]  # fmt: skip

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(IMPORTED)


class Program:
    """A running program that writes to ``log``.

    It looks as ``subprocess.Popen`` does, as far as tests use that.
    """

    def __init__(self, module: str, *arguments: str, environ: Mapping[str, str], log: Path) -> None:
        self.args = ["-m", module, *arguments]
        self.log = log
        self._process = _forks.Process(target=_run, args=(module, arguments, dict(environ), log))
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code; `subprocess.TimeoutExpired` after ``timeout`` seconds."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self._process.exitcode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def stop(self, seconds: float) -> None:
        """SIGTERM, SIGKILL after ``seconds``, and gone."""
        self.terminate()
        try:
            self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            self.wait()


def _run(module: str, arguments: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.clear()
    os.environ.update(environ)
    sys.path[:0] = filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))
    time.tzset()
    os.chdir(ROOT)
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
