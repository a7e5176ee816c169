from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobs.policy.limit_holds import (
    CallEvent,
    HoldConfig,
    LimitHolds,
    Trouble,
    held_limit,
    holds_after,
    observe_success,
    observe_trouble,
    trouble_of,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CONFIG = HoldConfig()


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def out_of_memory(holds: LimitHolds, *, limit: int, now: datetime = NOW) -> LimitHolds:
    return observe_trouble(holds, "ollama", Trouble.OUT_OF_MEMORY, CONFIG, limit=limit, now=now)


def test_out_of_memory_halves_at_once_and_holds() -> None:
    hold = out_of_memory(LimitHolds(), limit=8).holds["ollama"]

    assert (hold.limit, hold.until) == (4, after(300))
    assert hold.reason == "held at 4 after it ran out of memory"


def test_single_timeouts_change_nothing_a_run_halves() -> None:
    holds = LimitHolds()
    limits = []
    for second in range(3):
        holds = observe_trouble(
            holds, "ollama", Trouble.TIMEOUT, CONFIG, limit=6, now=after(second)
        )
        limits.append(held_limit(holds.holds.get("ollama"), CONFIG, now=after(second)))

    assert limits[0] == limits[1] > 6
    assert limits[2] == 3
    assert holds.holds["ollama"].reason == "held at 3 after 3 timeouts in a run"


def test_after_a_run_that_halved_single_timeouts_change_nothing_again() -> None:
    holds = LimitHolds()
    for seconds in (0, 1, 2, 400, 401):
        holds = observe_trouble(
            holds, "ollama", Trouble.TIMEOUT, CONFIG, limit=6, now=after(seconds)
        )

    assert holds.holds["ollama"].since == after(2)


def test_a_success_ends_the_run() -> None:
    holds = LimitHolds(timeouts={"ollama": 2})

    holds = observe_success(holds, "ollama")

    assert holds.timeouts["ollama"] == 0
    assert observe_success(holds, "ollama") is holds


def test_calls_of_the_old_limit_do_not_halve_again() -> None:
    holds = out_of_memory(LimitHolds(), limit=8)
    holds = out_of_memory(holds, limit=4, now=after(10))

    assert holds.holds["ollama"].limit == 4
    assert holds.holds["ollama"].until == after(310)


def test_trouble_under_the_lowered_limit_halves_again_down_to_one() -> None:
    holds = out_of_memory(LimitHolds(), limit=4)
    holds = out_of_memory(holds, limit=2, now=after(100))
    holds = out_of_memory(holds, limit=1, now=after(200))

    assert holds.holds["ollama"].limit == 1


def test_the_history_follows_from_the_ledger_of_calls() -> None:
    events = [
        CallEvent("ollama", after(0), Trouble.TIMEOUT),
        CallEvent("ollama", after(1), Trouble.TIMEOUT),
        CallEvent("ollama", after(2)),
        CallEvent("ollama", after(3), Trouble.TIMEOUT),
        CallEvent("mlx", after(4), Trouble.OUT_OF_MEMORY),
        CallEvent("mlx", after(100), Trouble.OUT_OF_MEMORY),
    ]

    holds = holds_after(events, CONFIG, limits={"ollama": 10, "mlx": 8})

    assert "ollama" not in holds.holds
    assert holds.timeouts["ollama"] == 1
    assert holds.holds["mlx"].limit == 2


def test_what_was_regained_is_what_the_next_trouble_halves() -> None:
    events = [
        CallEvent("mlx", after(0), Trouble.OUT_OF_MEMORY),
        CallEvent("mlx", after(300 + 60), Trouble.OUT_OF_MEMORY),
    ]

    holds = holds_after(events, CONFIG, limits={"mlx": 8})

    assert holds.holds["mlx"].limit == 3


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("total_timeout", "no end within 300 s", Trouble.TIMEOUT),
        ("stall_timeout", None, Trouble.TIMEOUT),
        ("load_failed", "model requires more system memory (20 GiB)", Trouble.OUT_OF_MEMORY),
        ("server_failed", "CUDA error: out of memory", Trouble.OUT_OF_MEMORY),
        ("server_failed", "[METAL] Insufficient Memory (00000008)", Trouble.OUT_OF_MEMORY),
        ("server_failed", "not enough room in the kitchen", None),
        ("connect_timeout", "no connection within 3 s", None),
        ("echo", "the prompt came back", None),
        (None, None, None),
    ],
)
def test_trouble_is_read_off_an_error(
    code: str | None, message: str | None, expected: Trouble | None
) -> None:
    assert trouble_of(code, message) is expected


def test_a_request_that_waited_behind_others_for_its_whole_time_lowers_the_limit_at_once() -> None:
    assert trouble_of("queue_timeout") is Trouble.QUEUE

    holds = observe_trouble(LimitHolds(), "ollama", Trouble.QUEUE, HoldConfig(), limit=10, now=NOW)

    assert holds.holds["ollama"].limit == 5
    assert "waited there behind others" in holds.holds["ollama"].reason
