"""A program that serves models, as a real process on a loopback port, gone afterwards."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def model_server(
    module: str,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    start_seconds: float,
    stop_seconds: float,
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start ``python -m module`` and end it by its process id; its address and its process.

    ``--lifeline`` is added: the process also ends if this one dies.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments, "--lifeline"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    )
    try:
        yield _await_url(module, process, start_seconds), process
    finally:
        _stop(process, stop_seconds)


def _await_url(module: str, process: subprocess.Popen[str], seconds: float) -> str:
    assert process.stdout is not None
    overdue = threading.Timer(seconds, process.kill)
    overdue.start()
    try:
        line = process.stdout.readline()
    finally:
        overdue.cancel()
        overdue.join()
    assert " listening on " in line, f"{module} did not start: {line!r}"
    return line.split()[-1]


def _stop(process: subprocess.Popen[str], seconds: float) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdin.close()
    process.stdout.close()
