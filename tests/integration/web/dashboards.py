"""A running dashboard for tests: the real program as a process, on real services."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from console.home import free_port
from tests.support.polling import pauses
from tests.support.programs import Program

START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Dashboard:
    """``process`` is the program; ``log`` is where it writes."""

    url: str
    process: Program
    log: Path

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(f"{self.url}{path}", timeout=20, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return requests.post(f"{self.url}{path}", timeout=20, **options)


@contextmanager
def running_dashboard(
    environ: Mapping[str, str], directory: Path, *, port: int | None = None
) -> Iterator[Dashboard]:
    """Started on ``port``, else a free one, answering, and gone afterwards."""
    port = port or free_port()
    log = directory / f"dashboard-{port}.log"
    process = Program(
        "console.web",
        environ={**os.environ, **environ, "KOS_DASHBOARD_PORT": str(port)},
        log=log,
    )
    dashboard = Dashboard(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait_until_it_answers(dashboard)
        yield dashboard
    finally:
        process.stop(15)


def _wait_until_it_answers(dashboard: Dashboard) -> None:
    end = time.monotonic() + START_SECONDS
    for pause in pauses():
        try:
            if dashboard.get("/healthz").ok:
                return
        except requests.ConnectionError:
            pass
        assert dashboard.process.poll() is None, dashboard.log.read_text()
        assert time.monotonic() < end, dashboard.log.read_text()
        time.sleep(pause)
