"""Why the work takes as long as it does, for prepared figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from console.operations.slowness import LaneFigures, cause_of
from console.operations.time_shares import TimeShares
from console.operations.verdict import SystemVerdict, VerdictLevel, cause_line
from console.words import words_for
from jobs.admission.limits import Limit

TOTAL = Limit(slots=10, heavy=10, reason="SMART_WORKER_MAX_CONCURRENT is 10")
MLX = LaneFigures(
    "mlx", in_flight=1, slots=5, limit_reason="MLX_MAX_CONCURRENT is 5", left=40,
    ends_in_seconds=600.0, model="qwen2.5:3b", task_seconds=12.0,
    shares=TimeShares(decode=0.5, prefill=0.1, load=0.05, queue=0.05, idle=0.3),
)  # fmt: skip
OLLAMA = replace(MLX, name="ollama", ends_in_seconds=60.0, left=9)


def said(*lanes: LaneFigures, language: str = "en", **known: Any) -> str:
    cause = cause_of(
        lanes,
        pending=known.get("pending", 40),
        delayed=known.get("delayed", 0),
        total=known.get("total", TOTAL),
    )
    verdict = SystemVerdict(VerdictLevel.BUSY, 40, 1, None, (), cause)
    return cause_line(verdict, words_for(language))


def test_the_backend_that_ends_last_is_named_with_the_time_of_its_tasks() -> None:
    assert said(OLLAMA, MLX) == (
        "mlx takes longest (40 tasks left): a task of qwen2.5:3b takes about 12 s there."
    )


def test_a_limit_that_binds_is_named() -> None:
    full = replace(MLX, in_flight=2, slots=2, limit_reason="2 of 5: heavy models at most 2")

    assert said(full).endswith("it runs 2 at once (2 of 5: heavy models at most 2).")
    assert said(replace(full, left=2)).endswith("takes about 12 s there.")
    assert said(replace(MLX, slots=0, limit_reason="memory is at 92 %")).endswith(
        "it may start none now (memory is at 92 %)."
    )


def test_the_limit_over_all_backends_binds_where_no_single_one_does() -> None:
    both = [replace(MLX, in_flight=4), replace(OLLAMA, in_flight=6, slots=9)]

    assert said(*both).endswith(
        "all backends together run 10 at once (SMART_WORKER_MAX_CONCURRENT is 10)."
    )


def test_shares_count_of_the_working_time_and_the_largest_is_told() -> None:
    loads = replace(MLX, shares=TimeShares(decode=0.2, load=0.2, idle=0.6))
    queues = replace(MLX, shares=TimeShares(load=0.3, queue=0.5, decode=0.2, idle=0.0))
    prompts = replace(MLX, shares=TimeShares(prefill=0.6, decode=0.4, idle=0.0))

    assert said(loads).endswith("50% of its working time goes into loading models.")
    assert "for 50% of its working time calls wait inside the server" in said(queues)
    assert said(prompts).endswith("60% of its working time goes into reading prompts.")


def test_chats_that_hold_most_slots_are_told() -> None:
    assert said(replace(MLX, chats=3)).endswith("people's chats hold 3 of its 5 slots.")


def test_a_backend_that_takes_no_tasks_comes_before_what_the_others_are_busy_with() -> None:
    paused = replace(OLLAMA, paused=True, blocked="paused")
    shut = replace(OLLAMA, blocked="breaker open: 5 timeouts in a row")

    silent = replace(OLLAMA, blocked="breaker open: unreachable: connection refused")
    rest = ": the others do what they can of its work."

    assert said(paused, MLX) == f"ollama is paused by hand until `kos resume`{rest}"
    assert said(silent, MLX) == f"ollama does not answer{rest}"
    assert said(shut, MLX) == f"ollama takes no tasks (breaker open: 5 timeouts in a row){rest}"


def test_tasks_between_two_tries_are_told() -> None:
    idle = replace(MLX, left=0, in_flight=0)

    assert said(idle, pending=3, delayed=3).startswith("All 3 that wait have failed before")
    assert said(idle, pending=3, delayed=2) == ""


def test_nothing_is_said_where_nothing_is_left_or_nothing_is_open() -> None:
    assert said(replace(MLX, left=0)) == ""
    assert said(replace(MLX, paused=True, blocked="paused")) == ""
    assert said() == ""


def test_the_cause_is_told_in_russian() -> None:
    full = replace(MLX, in_flight=2, slots=2, limit_reason="2 of 5: heavy models at most 2")

    assert said(full, language="ru") == (
        "Дольше всех занят mlx (осталось задач: 40): одновременно он выполняет 2 "
        "(2 из 5: тяжёлых моделей не больше 2)."
    )
    assert said(MLX, language="ru").endswith("задача модели qwen2.5:3b занимает там около 12 с.")
