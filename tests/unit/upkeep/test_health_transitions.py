"""What the health checker's log says, round after round."""

from __future__ import annotations

import logging

import pytest

from jobs.upkeep.health.checks import HealthCheck
from jobs.upkeep.health.transitions import TransitionLog

RED = HealthCheck("backend:mlx", False, "refuses connections", "start it")
GREEN = HealthCheck("backend:mlx", True, "answers")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().split(" ", 1)[0] for record in caplog.records]


def test_what_stays_red_is_told_again_every_five_minutes(caplog: pytest.LogCaptureFixture) -> None:
    teller = TransitionLog()
    with caplog.at_level(logging.INFO):
        for now in range(0, 701, 10):
            teller.record([RED], now=float(now))

    assert told(caplog) == ["check_red", "check_still_red", "check_still_red"]


def test_a_check_that_turns_green_is_told_once_and_may_turn_red_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    teller = TransitionLog()
    with caplog.at_level(logging.INFO):
        for now, check in enumerate([GREEN, RED, RED, GREEN, GREEN, RED]):
            teller.record([check], now=float(now))

    assert told(caplog) == ["check_red", "check_green", "check_red"]
