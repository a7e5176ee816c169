"""A program that serves models, as a real process on a loopback port, gone afterwards."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.polling import pauses
from tests.support.programs import Program


@contextmanager
def model_server(
    module: str,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    start_seconds: float,
    stop_seconds: float,
) -> Iterator[tuple[str, Program]]:
    """Start ``python -m module`` and end it by its process id; its address and its process."""
    with tempfile.TemporaryDirectory(prefix="kos-model-server-") as directory:
        log = Path(directory) / "log"
        process = Program(module, *arguments, environ=environ or os.environ, log=log)
        try:
            yield _await_url(process, log, start_seconds), process
        finally:
            process.stop(stop_seconds)


def _await_url(process: Program, log: Path, seconds: float) -> str:
    end = time.monotonic() + seconds
    for pause in pauses():
        text = log.read_text(errors="replace") if log.exists() else ""
        for line in text.splitlines(keepends=True):
            if " listening on " in line and line.endswith("\n"):
                return line.split()[-1]
        assert process.poll() is None, f"{process.args} did not start: {text}"
        assert time.monotonic() < end, f"{process.args} did not start: {text}"
        time.sleep(pause)
    raise AssertionError("pauses end never")
