"""A model's time of rest begins after the last step of its answers, not with their start."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from llm.mlx_server.engine import Engine
from llm.mlx_server.residents import RunningModel
from llm.mlx_server.settings import ServerSettings


@pytest.mark.parametrize("seconds", [1.0, 500.0])
def test_every_step_of_an_answer_is_a_use_of_its_model(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    async def build() -> Engine:
        return Engine(ServerSettings(), asyncio.get_running_loop(), on_death=lambda error: None)

    engine = asyncio.run(build())
    parts = cast(Any, SimpleNamespace(step=list))
    model = RunningModel(
        "m", model=None, decoder=parts, options=parts, size_bytes=0, reserved_bytes=0,
        loaded_at=1000.0, last_used_at=1000.0, keep_alive_seconds=60.0,
    )  # fmt: skip
    monkeypatch.setattr("time.monotonic", lambda: 1000.0 + seconds)

    engine._step(model)

    assert model.expires_at == 1000.0 + seconds + 60.0
