"""Requests per minute."""

from __future__ import annotations

from llm.simulator.rate_limit import RateLimit


def test_the_window_slides() -> None:
    limit = RateLimit(2)
    assert [limit.admit(now) for now in (0.0, 10.0)] == [0.0, 0.0]
    assert limit.admit(15.0) == 45.0
    assert limit.admit(60.0) == 0.0
    assert limit.admit(61.0) == 9.0


def test_zero_is_no_bound() -> None:
    limit = RateLimit(0)
    assert not any(limit.admit(0.0) for _ in range(100))
