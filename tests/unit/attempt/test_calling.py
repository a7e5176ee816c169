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
from llm.errors import PoisonedCall
from llm.types import BackendKind, BackendSpec, CancelToken, Message
from models.database import DatabaseUnavailable


def call(tmp_path: Path, error: Exception) -> None:
    """One call whose rate limiter raises ``error``."""

    def refuse(*asked: Any, **more: Any) -> None:
        raise error

    backend = SimpleNamespace(
        name="v", spec=BackendSpec("v", BackendKind.OPENAI, "http://x", requests_per_minute=60)
    )
    running = RunningAttempt("task", 1, "v", CancelToken(), threading.current_thread(), 0.0)
    caller = ModelCaller(
        cast(Any, backend), running,
        model="m", num_ctx=0, heavy=False, figures=DeadlineFigures(),
        settings=load({"KOS_HOME": str(tmp_path)}, in_container=False),
        residency=cast(Any, SimpleNamespace(ensure=lambda *asked, **more: 0.0)),
        rates=cast(Any, SimpleNamespace(try_acquire=refuse)),
        breakers=cast(Any, None), requests=cast(Any, None),
    )  # fmt: skip
    caller((Message("user", "x"),), max_tokens=5, step="answer")


@pytest.mark.parametrize(
    "error", [redis.ConnectionError("refused"), DatabaseUnavailable("connection refused")]
)
def test_a_service_that_is_away_is_no_fault_of_the_worker(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error), match="refused"):
        call(tmp_path, error)


def test_what_nobody_mapped_is_poison(tmp_path: Path) -> None:
    with pytest.raises(PoisonedCall, match="KeyError"):
        call(tmp_path, KeyError("x"))
