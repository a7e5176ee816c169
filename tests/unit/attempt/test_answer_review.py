"""A second opinion is asked within the limits, of a model as it is in memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from jobs.attempt import answer_review
from jobs.attempt.answer_review import AnswerReview
from jobs.attempt.lease_keeper import RunningAttempt
from jobs.attempt.processors.base import ProcessorResult, TaskContext
from jobs.policy.metadata import SecondOpinion, TaskOptions
from jobs.policy.validation.types import Answer, Request, Verdict
from jobs.queues.task_message import TaskMessage
from llm.types import BackendKind, CancelToken, ResidentModel

ANSWER = ProcessorResult(
    text="The three longest rivers of Europe are the Volga, the Danube and the Ural.",
    processor="expert",
    prompt="Name the three longest rivers of Europe.",
)
CONTEXT = TaskContext(
    task_id="t",
    title="Rivers",
    description="Name the three longest rivers of Europe.",
    options=TaskOptions(validator=SecondOpinion.LLM),
)


@dataclass
class Server:
    """A model server with one model in memory."""

    name: str
    kind: BackendKind
    resident: ResidentModel

    @property
    def spec(self) -> Any:
        return SimpleNamespace(name=self.name, kind=self.kind)

    def resident_models(self) -> tuple[ResidentModel, ...]:
        return (self.resident,)


@dataclass
class Slots:
    """Grants or not, and remembers what it was asked."""

    granted: bool = True
    asked: dict[str, Any] = field(default_factory=dict)
    released: list[tuple[str, str]] = field(default_factory=list)
    error: Exception | None = None

    def acquire(self, backend: str, holder: str, **bounds: Any) -> Any:
        if self.error is not None:
            raise self.error
        self.asked = {"backend": backend, "holder": holder, **bounds}
        return SimpleNamespace(granted=self.granted)

    def release(self, backend: str, holder: str) -> int:
        self.released.append((backend, holder))
        return 1


@dataclass
class Opinions:
    """Stands for the call of the other model: with what, and under which slots."""

    calls: list[dict[str, Any]] = field(default_factory=list)

    def caller(self, backend: str, running: RunningAttempt, **options: Any) -> Any:
        self.calls.append({"backend": backend, "slots": running.slots, **options})
        return object()

    def opinion(self, verdict: Verdict, *given: Any, call: Any) -> Verdict:
        return verdict


@pytest.fixture
def opinions(monkeypatch: pytest.MonkeyPatch) -> Opinions:
    made = Opinions()
    monkeypatch.setattr(answer_review, "second_opinion", made.opinion)
    return made


def judge(
    opinions: Opinions,
    slots: Slots,
    *servers: Server,
    heavy: tuple[str, ...] = (),
    blocked: str | None = None,
    seen: bool = True,
    cancelled: bool = False,
) -> tuple[Verdict, RunningAttempt]:
    """The verdict on an answer of ``mlx/small``, and the running as it was left."""
    by_name = {server.name: server for server in servers}
    services: dict[str, Any] = {
        "scanner": SimpleNamespace(is_heavy=lambda backend, model: model in heavy),
        "limits": SimpleNamespace(
            of=lambda name: SimpleNamespace(slots=4, heavy=1),
            reserved=lambda name: 0,
            total_reserved=0,
            total=SimpleNamespace(slots=6),
        ),
        "slots": slots,
        "calls": SimpleNamespace(
            breakers=SimpleNamespace(blocked=lambda name: blocked),
            backends=SimpleNamespace(get=by_name.__getitem__),
            residency=SimpleNamespace(
                seen=lambda name: (by_name[name].resident.name,) if seen else None
            ),
            caller=opinions.caller,
        ),
    }
    settings: Any = SimpleNamespace(backends=[server.spec for server in servers])
    running = RunningAttempt("t", 1, "mlx", CancelToken(), threading.current_thread(), 0.0)
    if cancelled:
        running.token.cancel("cancel requested")
    task = TaskMessage("t", 1, "mlx", "small", 0, heavy=False)
    review = AnswerReview(settings, **services)
    verdict = review.verdict(task, ANSWER, CONTEXT, running, category=None)
    return verdict, running


def ollama(context_tokens: int | None = 8192, model: str = "qwq:32b") -> Server:
    resident = ResidentModel(model, context_tokens=context_tokens)
    return Server("ollama", BackendKind.OLLAMA, resident)


def test_an_opinion_takes_a_slot_within_every_limit(opinions: Opinions) -> None:
    slots = Slots()

    judge(opinions, slots, ollama(), heavy=("qwq:32b",))

    assert slots.asked == {
        "backend": "ollama", "holder": "opinion:t:1", "wait": False, "heavy": True,
        "limit": 4, "heavy_limit": 1, "total_limit": 6, "reserved": 0,
        "total_reserved": 0, "model": "qwq:32b",
    }  # fmt: skip


def test_its_slot_is_kept_while_it_is_asked_and_given_back_after(opinions: Opinions) -> None:
    slots = Slots()

    _, running = judge(opinions, slots, ollama())

    assert opinions.calls[0]["slots"] == (("mlx", "t:1"), ("ollama", "opinion:t:1"))
    assert slots.released == [("ollama", "opinion:t:1")]
    assert running.slots == (("mlx", "t:1"),)


def test_a_light_model_of_the_same_server_needs_no_further_slot(opinions: Opinions) -> None:
    slots = Slots()

    judge(opinions, slots, Server("mlx", BackendKind.MLX, ResidentModel("other")))

    assert slots.asked == {}
    assert opinions.calls[0]["backend"] == "mlx"


def test_a_heavy_model_of_the_same_server_is_counted_as_heavy(opinions: Opinions) -> None:
    slots = Slots(granted=False)

    judge(opinions, slots, Server("mlx", BackendKind.MLX, ResidentModel("other")), heavy=("other",))

    assert slots.asked["heavy"]
    assert opinions.calls == []


def test_ollama_is_asked_at_the_context_that_is_loaded(opinions: Opinions) -> None:
    judge(opinions, Slots(), ollama(context_tokens=8192))

    assert opinions.calls[0]["num_ctx"] == 8192


def test_other_servers_are_asked_without_a_context(opinions: Opinions) -> None:
    resident = ResidentModel("other", context_tokens=32768)

    judge(opinions, Slots(), Server("vllm", BackendKind.OPENAI, resident))

    assert opinions.calls[0]["num_ctx"] == 0


def test_the_rules_alone_decide_while_redis_is_away(opinions: Opinions) -> None:
    verdict, _ = judge(opinions, Slots(error=redis.ConnectionError("refused")), ollama())

    assert verdict.ok
    assert verdict.reason == "no second opinion: refused"


@pytest.mark.parametrize("reason", [{"blocked": "breaker open"}, {"seen": False}])
def test_a_server_that_is_blocked_or_holds_nothing_is_not_asked(
    opinions: Opinions, reason: dict[str, Any]
) -> None:
    verdict, _ = judge(opinions, Slots(), ollama(), **reason)

    assert verdict.ok
    assert opinions.calls == []


def test_the_model_that_answered_is_not_asked_for_its_opinion(opinions: Opinions) -> None:
    judge(opinions, Slots(), Server("mlx", BackendKind.MLX, ResidentModel("small")))
    assert opinions.calls == []

    judge(opinions, Slots(), ollama(model="small"))
    assert [call["backend"] for call in opinions.calls] == ["ollama"], "elsewhere it is another"


def test_nobody_waits_for_the_verdict_of_a_cancelled_task(
    opinions: Opinions, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def rules(answer: Answer, request: Request) -> Verdict:
        assert request.abandoned is not None
        asked.append(request.abandoned())
        return Verdict(False, 0.0)

    monkeypatch.setattr(answer_review, "judge", rules)
    for cancelled in (False, True):
        judge(opinions, Slots(), cancelled=cancelled)

    assert asked == [False, True]
