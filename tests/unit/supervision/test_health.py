"""How long `kos up` waits: for as long as programs come, however slow the machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from console.services.errors import ServiceError
from console.supervision import health
from console.supervision.client import ProgramStatus
from jobs.settings.load import load

NEVER = 1e9


@dataclass
class Clock:
    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Starting:
    """A supervisor whose programs run from these seconds on."""

    clock: Clock
    seconds: dict[str, float]

    def status(self) -> list[ProgramStatus]:
        return [
            ProgramStatus(name, "RUNNING" if self.clock.now >= at else "STARTING")
            for name, at in self.seconds.items()
        ]


def wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **seconds: float) -> float:
    clock = Clock()
    supervisor: Any = Starting(clock, {f"jobs:{name}": at for name, at in seconds.items()})
    monkeypatch.setattr(health, "time", clock)
    monkeypatch.setattr(health, "listeners", lambda settings: {})
    health.wait_until_running(
        supervisor,
        load({"KOS_HOME": str(tmp_path)}),
        unready=lambda settings, programs: [],
        timeout_seconds=60,
    )
    return clock.now


def test_a_slow_machine_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wait(tmp_path, monkeypatch, a=50, b=105, c=160) == pytest.approx(160, abs=1)


def test_a_program_that_never_comes_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ServiceError, match="jobs:b does not stay up"):
        wait(tmp_path, monkeypatch, a=50, b=NEVER)
