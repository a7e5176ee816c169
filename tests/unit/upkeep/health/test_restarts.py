"""When a hung program may be restarted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from jobs.upkeep.health.restarts import Restarter, may_restart

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def ago(*seconds: float) -> list[datetime]:
    return [NOW - timedelta(seconds=value) for value in seconds]


def test_the_first_restart_is_allowed_at_once() -> None:
    assert may_restart([], NOW).allowed


def test_each_restart_doubles_the_pause_before_the_next() -> None:
    assert not may_restart(ago(19), NOW).allowed
    assert may_restart(ago(21), NOW).allowed
    assert not may_restart(ago(100, 39), NOW).allowed
    assert may_restart(ago(100, 41), NOW).allowed


def test_a_program_that_keeps_hanging_is_left_for_a_person() -> None:
    decision = may_restart(ago(500, 400, 300, 200), NOW)

    assert not decision.allowed
    assert "left for a person" in decision.reason


def test_old_restarts_are_forgotten() -> None:
    assert may_restart(ago(5000, 4000, 3000, 2000), NOW).allowed


def test_without_a_supervisor_it_says_so_and_does_not_raise() -> None:
    restarter = Restarter(socket=None)

    said = restarter.restart("servers:mlx-api", "hung", NOW)

    assert "no supervisor socket" in said
