"""The rate at which tokens come."""

from __future__ import annotations

import pytest

from llm.simulator.pace import SHORTEST_WAIT_SECONDS, TokenPace, shared_rate


def spoken_after(pace: TokenPace, *, tokens: int) -> float:
    now = 0.0
    for _ in range(tokens):
        now += pace.wait_seconds(now)
    return now


@pytest.mark.parametrize("rate", [10.0, 150.0, 3000.0])
def test_tokens_take_their_time(rate: float) -> None:
    after = spoken_after(TokenPace(lambda: rate), tokens=600)
    assert after == pytest.approx(600 / rate, abs=SHORTEST_WAIT_SECONDS + 1 / rate)


def test_without_a_rate_tokens_take_no_time() -> None:
    assert spoken_after(TokenPace(lambda: 0.0), tokens=100) == 0.0


def test_a_late_stream_catches_up_but_not_on_everything() -> None:
    pace = TokenPace(lambda: 10.0)
    pace.wait_seconds(0.0)
    waits = [pace.wait_seconds(100.0) for _ in range(20)]
    assert [wait > 0 for wait in waits] == [False] * 10 + [True] * 10


def test_the_rate_may_change_while_it_speaks() -> None:
    rate = 10.0
    pace = TokenPace(lambda: rate)
    assert pace.wait_seconds(0.0) == pytest.approx(0.1)
    rate = 5.0
    assert pace.wait_seconds(0.1) == pytest.approx(0.2)


def test_streams_share_as_the_profile_says() -> None:
    assert shared_rate(40.0, streams=4, sharing=0.0) == 40.0
    assert shared_rate(40.0, streams=4, sharing=0.5) == 20.0
    assert shared_rate(40.0, streams=4, sharing=1.0) == 10.0
    assert shared_rate(40.0, streams=0, sharing=1.0) == 40.0
