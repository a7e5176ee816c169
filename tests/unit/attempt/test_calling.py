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
from llm.errors import FirstTokenTimeout, PoisonedCall, PromptTooLong, QueueTimeout
from llm.types import BackendKind, BackendSpec, CancelToken, Completion, Message
from models.database import DatabaseUnavailable


def caller(
    tmp_path: Path,
    *,
    context_tokens: int | None = None,
    in_use: int = 1,
    figures: DeadlineFigures | None = None,
    **parts: Any,
) -> ModelCaller:
    running = RunningAttempt("task", 1, "v", CancelToken(), threading.current_thread(), 0.0)
    spec = BackendSpec("v", BackendKind.OPENAI, "http://x", requests_per_minute=60)
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
        breakers=cast(Any, services["breakers"]), requests=cast(Any, None),
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


def answers(prompt_tokens: int, load_seconds: float | None = None) -> Any:
    completion = Completion(
        "fine", "m", "v", "stop", prompt_tokens=prompt_tokens, load_seconds=load_seconds
    )
    return {"generate": lambda *asked, **more: completion}


def test_a_prompt_that_cannot_fit_is_not_sent(tmp_path: Path) -> None:
    with pytest.raises(PromptTooLong, match=r"about 5000 tokens.* holds 2048: it was not sent"):
        caller(tmp_path, context_tokens=2048)(LONG, max_tokens=5, step="answer")


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
