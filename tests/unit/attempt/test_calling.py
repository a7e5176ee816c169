"""What a model call raises when it is not the server's fault."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import redis

from jobs.attempt.calling import ModelCaller
from jobs.attempt.lease_keeper import RunningAttempt
from jobs.planning.learned_figures import DeadlineFigures
from jobs.settings.load import load
from llm.errors import (
    BlankAnswer,
    CallCancelled,
    FirstTokenTimeout,
    LLMError,
    PoisonedCall,
    PromptTooLong,
    QueueTimeout,
    ServerFailed,
)
from llm.kinds import traits_of
from llm.types import BackendKind, BackendSpec, CancelToken, Completion, Deadlines, Message
from models.database import DatabaseUnavailable


def caller(
    tmp_path: Path,
    *,
    context_tokens: int | None = None,
    in_use: int = 1,
    figures: DeadlineFigures | None = None,
    kind: BackendKind = BackendKind.OPENAI,
    cancelled: bool = False,
    **parts: Any,
) -> ModelCaller:
    running = RunningAttempt("task", 1, "v", CancelToken(), threading.current_thread(), 0.0)
    spec = BackendSpec("v", kind, "http://x", requests_per_minute=60)
    if cancelled:
        running.token.cancel("drain")
    services = {
        "backend": SimpleNamespace(name="v", spec=spec, generate=_no_call),
        "residency": SimpleNamespace(
            ensure=lambda *asked, **more: 0.0,
            used=lambda *asked: None,
            forget=lambda *asked: None,
            loaded_inside=lambda *asked, **more: None,
        ),
        "rates": SimpleNamespace(
            try_acquire=lambda *asked, **more: SimpleNamespace(granted=True),
            settle=lambda *asked, **more: True,
        ),
        "breakers": SimpleNamespace(succeeded=lambda *asked: None, failed=lambda *asked: False),
    }
    services |= {name: SimpleNamespace(**{**vars(services[name]), **part})
                 for name, part in parts.items()}  # fmt: skip
    return ModelCaller(
        cast(Any, services["backend"]), running,
        model="m", num_ctx=0, heavy=False, figures=figures or DeadlineFigures(),
        settings=load({"KOS_HOME": str(tmp_path)}, in_container=False),
        residency=cast(Any, services["residency"]),
        rates=cast(Any, services["rates"]),
        breakers=cast(Any, services["breakers"]),
        context_tokens=context_tokens, in_use=lambda name: in_use,
    )  # fmt: skip


def _no_call(*asked: Any, **more: Any) -> Completion:
    raise AssertionError("nothing may be sent")


def call(tmp_path: Path, error: Exception) -> None:
    """One call whose rate limiter raises ``error``."""

    def refuse(*asked: Any, **more: Any) -> None:
        raise error

    one = caller(tmp_path, rates={"try_acquire": refuse})
    one((Message("user", "x"),), max_tokens=5, step="answer")


LONG = (Message("user", "word " * 4000),)


def answers(prompt_tokens: int | None, load_seconds: float | None = None) -> Any:
    completion = Completion(
        "fine", "m", "v", "stop",
        prompt_tokens=prompt_tokens, completion_tokens=30, load_seconds=load_seconds,
    )  # fmt: skip
    return {"generate": lambda *asked, **more: completion}


def test_a_prompt_that_cannot_fit_is_not_sent(tmp_path: Path) -> None:
    with pytest.raises(PromptTooLong, match=r"about 5000 tokens.* holds 2048: it was not sent"):
        caller(tmp_path, context_tokens=2048)(LONG, max_tokens=5, step="answer")


@pytest.mark.parametrize(("context_tokens", "is_sent"), [(3900, False), (4100, True)])
def test_a_prompt_is_refused_only_where_its_estimate_leaves_no_doubt(
    tmp_path: Path, context_tokens: int, is_sent: bool
) -> None:
    """It has about 5,000 tokens, give or take a fifth."""
    one = caller(tmp_path, context_tokens=context_tokens, backend=answers(4000))

    if is_sent:
        assert one(LONG, max_tokens=5, step="answer").text == "fine"
    else:
        with pytest.raises(PromptTooLong):
            one(LONG, max_tokens=5, step="answer")


def test_an_answer_to_half_a_prompt_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptTooLong, match="read only 2048 tokens of a prompt of about 5000"):
        caller(tmp_path, backend=answers(2048))(LONG, max_tokens=5, step="answer")


def test_a_prompt_that_was_read_whole_is_answered(tmp_path: Path) -> None:
    one = caller(tmp_path, context_tokens=8192, backend=answers(4800))

    assert one(LONG, max_tokens=5, step="answer").text == "fine"


@pytest.mark.parametrize(("reported", "counted"), [(0.05, 0.0), (4.0, 4.0), (None, 0.0)])
def test_what_a_warm_model_reports_as_loading_is_no_load(
    tmp_path: Path, reported: float | None, counted: float
) -> None:
    recorded: list[float] = []
    residency = {"loaded_inside": lambda *asked, **more: recorded.append(more["load_seconds"])}
    one = caller(tmp_path, backend=answers(1, reported), residency=residency)

    one((Message("user", "x"),), max_tokens=5, step="answer")

    assert one.spent.load_seconds == counted
    assert recorded == ([counted] if counted else [])


@pytest.mark.parametrize(
    "error", [redis.ConnectionError("refused"), DatabaseUnavailable("connection refused")]
)
def test_a_service_that_is_away_is_no_fault_of_the_worker(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error), match="refused"):
        call(tmp_path, error)


def test_what_nobody_mapped_is_poison(tmp_path: Path) -> None:
    with pytest.raises(PoisonedCall, match="KeyError"):
        call(tmp_path, KeyError("x"))


def first_token_never_comes(
    tmp_path: Path, *, in_use: int, service_seconds: float
) -> FirstTokenTimeout:
    def silent(*request: Any, **more: Any) -> None:
        raise FirstTokenTimeout("no token")

    one = caller(
        tmp_path,
        in_use=in_use,
        figures=DeadlineFigures(service_seconds=service_seconds),
        backend={"generate": silent},
    )
    with pytest.raises(FirstTokenTimeout) as raised:
        one((Message("user", "x"),), max_tokens=5, step="answer")
    return raised.value


def test_a_timeout_behind_nine_long_requests_is_put_down_to_the_queue(tmp_path: Path) -> None:
    error = first_token_never_comes(tmp_path, in_use=10, service_seconds=40.0)

    assert isinstance(error, QueueTimeout)
    assert "our other requests there take about 360 s" in str(error)


@pytest.mark.parametrize("in_use", [1, 3])
def test_a_timeout_that_the_queue_does_not_explain_is_the_servers(
    tmp_path: Path, in_use: int
) -> None:
    error = first_token_never_comes(tmp_path, in_use=in_use, service_seconds=40.0)

    assert not isinstance(error, QueueTimeout)


@pytest.mark.parametrize(("read", "charged"), [(4800, 4800 + 30), (None, 5000 + 30)])
def test_prompt_and_answer_are_charged_as_expected_and_corrected_afterwards(
    tmp_path: Path, read: int | None, charged: int
) -> None:
    """A server that does not count the prompt has read it all the same."""
    expected: list[int] = []
    used: list[int] = []

    def acquire(name: str, *, tokens: int, limits: object) -> Any:
        expected.append(tokens)
        return SimpleNamespace(granted=True)

    rates = {
        "try_acquire": acquire,
        "settle": lambda allowance, *, tokens: used.append(tokens),
    }
    caller(tmp_path, backend=answers(read), rates=rates)(LONG, max_tokens=700, step="answer")

    assert expected == [5000 + 700]
    assert used == [charged]


def test_a_cancel_ends_the_wait_for_a_rate(tmp_path: Path) -> None:
    full = SimpleNamespace(granted=False, reason="60 of 60", retry_in_seconds=60.0)
    asked: list[str] = []

    def refuse(name: str, **more: Any) -> Any:
        asked.append(name)
        assert len(asked) == 1, "it went on waiting"
        return full

    one = caller(tmp_path, cancelled=True, rates={"try_acquire": refuse})
    with pytest.raises(CallCancelled, match="drain"):
        one(LONG, max_tokens=5, step="answer")


@pytest.mark.parametrize(
    ("error", "forgotten", "is_counted"),
    [
        (ServerFailed("HTTP 500"), ["v"], True),
        (BlankAnswer("nothing"), [], True),
        (CallCancelled("drain"), [], False),
    ],
)
def test_a_failed_call_is_told_to_whom_it_concerns(
    tmp_path: Path, error: LLMError, forgotten: list[str], is_counted: bool
) -> None:
    seen: list[str] = []
    counted: list[LLMError] = []

    def fail(*asked: Any, **more: Any) -> Completion:
        error.partial_text = "as far as it came"
        raise error

    one = caller(
        tmp_path,
        backend={"generate": fail},
        residency={"forget": seen.append},
        breakers={"failed": lambda backend, model, error: counted.append(error)},
    )
    with pytest.raises(type(error)):
        one((Message("user", "x"),), max_tokens=5, step="answer")

    assert seen == forgotten
    assert counted == [error] * is_counted
    assert one.spent.answer == "as far as it came"


@pytest.mark.parametrize("kind", list(BackendKind))
def test_a_server_that_loads_by_itself_has_the_time_for_a_load(
    tmp_path: Path, kind: BackendKind
) -> None:
    given: list[Deadlines] = []

    def generate(request: Any, *, deadlines: Deadlines, **more: Any) -> Completion:
        given.append(deadlines)
        return Completion("fine", "m", "v", "stop")

    one = caller(tmp_path, kind=kind, backend={"generate": generate})
    one((Message("user", "x"),), max_tokens=5, step="answer")

    (deadlines,) = given
    loads = traits_of(kind).loads_unseen
    assert (deadlines.first_token_seconds > deadlines.load_seconds) == loads
