from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from console.operations.lanes import SlotUse
from console.operations.outlook import QueuePosition
from console.operations.timeline import events_of, standing
from console.words import words_for
from jobs.policy.forecast import SecondsRange
from models.attempt import TaskAttempt
from models.decision import RecordedDecision
from models.task_rows import WholeTask
from tests.support.task_rows import task_attempt, whole_task

START = datetime(2026, 3, 14, 12, tzinfo=UTC)
NOW = START + timedelta(minutes=5)
PARENT = "bbbbbbbb-0000-0000-0000-000000000001"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def task(**changes: Any) -> WholeTask:
    usual = {"id": "aaaaaaaa-0000-0000-0000-000000000001", "expert": "Anna", "created_at": START}
    return whole_task(**usual | changes)


def attempt(**changes: Any) -> TaskAttempt:
    return task_attempt(backend="mlx", model="qwen", started_at=at(3), **changes)


def test_decisions_and_attempts_are_told_in_the_order_of_time() -> None:
    decisions = [
        RecordedDecision(at(1), "assign", "Anna", "fits by backend",
                 [{"option": "Boris", "reason": "has 9 open tasks"}]),
        RecordedDecision(at(9), "retry", None, "elsewhere", []),
    ]  # fmt: skip
    first = attempt(
        finished_at=at(8), outcome="retried", error="blank answer", wait_seconds=0.2,
        load_seconds=0.01, first_token_seconds=1.0, completion_tokens=7,
    )  # fmt: skip

    events = events_of(task(attempts=[first]), decisions)

    assert [event.what for event in events] == [
        "submitted",
        "assigned to Anna: fits by backend",
        "attempt 1 started at mlx with qwen after 0.2 s in the queue",
        "attempt 1 retried: blank answer",
        "then: elsewhere",
    ]
    assert events[1].details == ("not Boris: has 9 open tasks",)
    assert events[3].details == ("first token after 1.0 s, answer tokens 7",)


@pytest.mark.parametrize(
    ("changes", "parents", "sentence"),
    [
        ({"depends_on": [PARENT]}, {PARENT: "queued"}, "waits for bbbbbbbb, which is queued"),
        ({"depends_on": [PARENT]}, {PARENT: "failed"}, "waits for bbbbbbbb, which is failed"),
        ({"depends_on": [PARENT]}, {PARENT: "completed"}, "waits for the next plan"),
        (
            {"metadata": {"required_backend": "mlx", "preferred_model": "qwq:32b"}},
            {},
            "waits for the next plan with backend mlx and model qwq:32b: "
            "`kos backends` shows whether one serves it",
        ),
        ({"expert": None}, {}, "waits for an expert"),
        ({"next_attempt_at": NOW + timedelta(seconds=90), "last_error": "timeout"}, {},
         "waits until 12:06:30 UTC, 1 min from now (timeout)"),
        ({"status": "queued", "backend": "mlx", "model": "qwen"}, {}, "queued at mlx with qwen"),
        ({"status": "in_progress", "backend": "mlx",
          "progress": {"phase": "decoding", "tokens": 42}},
         {}, "running at mlx, decoding, 42 tokens"),
        ({"status": "failed", "last_error": "poison"}, {}, "failed: poison (`kos retry aaaaaaaa`"),
        ({"status": "completed", "validation_score": 0.8}, {}, "completed, score 0.80"),
        ({"status": "cancelled"}, {}, "cancelled"),
    ],
)  # fmt: skip
def test_where_a_task_stands_is_one_sentence(
    changes: dict[str, Any], parents: dict[str, str], sentence: str
) -> None:
    assert standing(task(**changes), parents, now=NOW).startswith(sentence)


def test_a_task_that_requires_what_is_closed_says_why_it_is() -> None:
    waiting = task(metadata={"preferred_model": "qwq:32b"})

    said = standing(waiting, {}, now=NOW, closed="mlx: breaker open: load_failed: no memory")

    assert said == "waits for model qwq:32b; mlx: breaker open: load_failed: no memory"
    assert words_for("ru")(said).startswith("ждёт: нужен model qwq:32b; mlx: ")


@pytest.mark.parametrize(
    ("before", "starts", "done", "sentence"),
    [
        (0, None, None, "planned for mlx with qwen, next in line"),
        (3, (240, 360), (300, 420), "planned for mlx with qwen, after 3 other tasks, "
         "in about 4-6 min, done in about 5-7 min"),
        (0, (0, 0.1), (20, 40), "planned for mlx with qwen, next in line, "
         "done in about 20-40 s"),
    ],
)  # fmt: skip
def test_a_planned_task_knows_its_place_and_when_its_answer_comes(
    before: int,
    starts: tuple[float, float] | None,
    done: tuple[float, float] | None,
    sentence: str,
) -> None:
    position = QueuePosition("mlx", "qwen", before, _range(starts), _range(done))

    assert standing(task(), {}, now=NOW, position=position) == sentence


@pytest.mark.parametrize(
    ("slots", "english", "russian"),
    [
        (None, "a worker takes it as soon as a slot is free",
         "обработчик возьмёт её, как освободится место"),
        (SlotUse(1, 2, "MLX_MAX_CONCURRENT is 2"),
         "a worker takes it next: 1 of 2 slots are in use",
         "обработчик возьмёт её следующей: занято мест 1 из 2"),
        (SlotUse(2, 2, "MLX_MAX_CONCURRENT is 2"),
         "waits for a slot: 2 of 2 are in use, MLX_MAX_CONCURRENT is 2",
         "ждёт места: занято 2 из 2, MLX_MAX_CONCURRENT = 2"),
        (SlotUse(2, 3, "MLX_MAX_CONCURRENT is 3", kept=1),
         "waits for a slot: 2 of 3 are in use and 1 kept for people, MLX_MAX_CONCURRENT is 3",
         "ждёт места: занято 2 из 3, для людей оставлено 1, MLX_MAX_CONCURRENT = 3"),
        (SlotUse(4, 4, "SMART_WORKER_MAX_CONCURRENT is 4", everywhere=True),
         "waits for a slot: 4 of 4 over all backends are in use, "
         "SMART_WORKER_MAX_CONCURRENT is 4",
         "ждёт места: на всех серверах занято 4 из 4, SMART_WORKER_MAX_CONCURRENT = 4"),
        (SlotUse(3, 4, "SMART_WORKER_MAX_CONCURRENT is 4", kept=1, everywhere=True),
         "waits for a slot: 3 of 4 over all backends are in use and 1 kept for people, "
         "SMART_WORKER_MAX_CONCURRENT is 4",
         "ждёт места: на всех серверах занято 3 из 4, для людей оставлено 1, "
         "SMART_WORKER_MAX_CONCURRENT = 4"),
        (SlotUse(2, 2, "2 of 10: heavy models at most 2"),
         "waits for a slot: 2 of 2 are in use, 2 of 10: heavy models at most 2",
         "ждёт места: занято 2 из 2, 2 из 10: тяжёлых моделей не больше 2"),
    ],
)  # fmt: skip
def test_a_queued_task_names_the_limit_that_binds(
    slots: SlotUse | None, english: str, russian: str
) -> None:
    queued = task(status="queued", backend="mlx", model="qwen")

    said = standing(queued, {}, now=NOW, slots=slots)

    assert said == f"queued at mlx with qwen; {english}"
    assert words_for("ru")(said) == f"в очереди на mlx с моделью qwen; {russian}"


def test_a_running_task_says_when_its_answer_comes() -> None:
    running = task(status="in_progress", backend="mlx", model="qwen")

    said = standing(running, {}, now=NOW, position=QueuePosition(done_in=_range((20, 40))))

    assert said.endswith(", done in about 20-40 s")


def _range(ends: tuple[float, float] | None) -> SecondsRange | None:
    return SecondsRange(ends[0], sum(ends) / 2, ends[1]) if ends else None
