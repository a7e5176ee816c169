"""The models of MLX_PRELOAD_MODELS: one that fails is left out, and the server gets ready."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from llm.mlx_server.app import _preload
from llm.mlx_server.errors import NoSuchModel
from llm.mlx_server.requests import TextRequest
from llm.mlx_server.settings import ServerSettings


@pytest.mark.parametrize("failure", [NoSuchModel("odd"), KeyError("vocab_size")])
def test_whatever_one_model_does_the_others_come_and_preloading_ends(failure: Exception) -> None:
    preloaded: list[str] = []

    async def preload(request: TextRequest) -> None:
        if request.model == "odd":
            raise failure
        preloaded.append(request.model)

    service: Any = SimpleNamespace(
        settings=ServerSettings(preload_models=("odd", "good")), preload=preload
    )
    readiness: Any = SimpleNamespace(preloading=True)

    asyncio.run(_preload(service, readiness))

    assert preloaded == ["good"]
    assert not readiness.preloading
