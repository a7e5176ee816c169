"""Nothing lost, nothing doubled, no limit exceeded: the short form of ``scripts/bench chaos``."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chaos.evidence import most_at_once
from benchmarks.chaos.report import report
from benchmarks.chaos.run import run_chaos
from benchmarks.chaos.script import Harm, script


def test_two_hundred_tasks_survive_every_short_harm(tmp_path: Path) -> None:
    short = [harm for harm in Harm if harm not in (Harm.READ_ONLY, Harm.SLEEP)]
    result = run_chaos(tmp_path, seed=11, tasks=200, seconds=45, harms=short)

    print(report(result))
    assert result.findings.wrong == [], report(result)


def test_a_script_repeats_for_its_seed_and_does_every_harm() -> None:
    events = script(seed=3, seconds=60, every_seconds=3)

    assert events == script(seed=3, seconds=60, every_seconds=3)
    assert events != script(seed=4, seconds=60, every_seconds=3)
    assert {event.harm for event in events} == set(Harm)
    assert [event.at_seconds for event in events] == sorted(e.at_seconds for e in events)
    assert 0 <= events[0].at_seconds <= events[-1].at_seconds <= 60
    freezes = [event.at_seconds for event in events if event.harm is Harm.FREEZE_WORKER]
    assert any(6 <= at_seconds <= 30 for at_seconds in freezes)


@pytest.mark.parametrize(
    ("spans", "most"),
    [
        ([], 0),
        ([(0, 2), (1, 3), (2, 4)], 2),
        ([(0, 9), (1, 2), (3, 4), (3.5, 5)], 3),
        ([(0, float("inf")), (5, 6)], 2),
    ],
)
def test_calls_at_once_are_counted(spans: list[tuple[float, float]], most: int) -> None:
    assert most_at_once(spans) == most
