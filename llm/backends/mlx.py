"""Our MLX API server, and other servers on mlx-lm such as the stock `mlx_lm.server`.

Generation uses the OpenAI-compatible path, which all of them have. Lists, residency, preload and
unload use Ollama's paths where the server has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from llm import errors
from llm.backends import ollama_wire, openai_wire
from llm.backends.http import (
    UNKNOWN_VERSION,
    UNLOAD_SECONDS,
    HttpBackend,
    is_missing_path,
    optional,
    raise_error_in,
    version_of,
)
from llm.backends.ollama_wire import whole
from llm.types import (
    BackendHealth,
    BackendSpec,
    CancelToken,
    Deadlines,
    ModelInfo,
    ResidentModel,
)


class MlxBackend(HttpBackend):
    """A server that runs models with Apple's MLX."""

    def __init__(
        self, spec: BackendSpec, *, api_key: str | None = None, ca_bundle: str | None = None
    ) -> None:
        super().__init__(spec, wire=openai_wire.OpenAIChat(), api_key=api_key, ca_bundle=ca_bundle)

    def version(self) -> str:
        return optional(lambda: self._get("/api/version", version_of)) or UNKNOWN_VERSION

    def list_models(self) -> tuple[ModelInfo, ...]:
        models = optional(lambda: self._get("/api/tags", ollama_wire.models_of))
        return self._get("/v1/models", openai_wire.models_of) if models is None else models

    def describe(self, model: ModelInfo) -> ModelInfo:
        read = partial(ollama_wire.described, model)
        body = {"model": model.name}
        return optional(lambda: self._post("/api/show", body, read, model=model.name)) or model

    def resident_models(self) -> tuple[ResidentModel, ...]:
        return optional(lambda: self._get("/api/ps", ollama_wire.residents_of)) or ()

    def preload(
        self,
        model: str,
        *,
        num_ctx: int | None = None,
        deadlines: Deadlines,
        cancel: CancelToken | None = None,
    ) -> float:
        body = ollama_wire.preload_body(model, num_ctx)
        try:
            return self._load(
                "/api/generate", body, model=model, deadlines=deadlines, cancel=cancel
            )
        except errors.BackendUnreachable as exc:
            if not is_missing_path(exc):
                raise
        return self._load_by_token(model, deadlines=deadlines, cancel=cancel)

    def unload(self, model: str) -> None:
        body = ollama_wire.unload_body(model)
        optional(
            lambda: self._post(
                "/api/generate", body, raise_error_in, model=model, seconds=UNLOAD_SECONDS
            )
        )

    def _health(self) -> BackendHealth:
        health = optional(lambda: self._get("/health", _health_of))
        if health is None:
            self.list_models()
            return BackendHealth(reachable=True)
        return health


def _health_of(body: Mapping[str, Any]) -> BackendHealth:
    return BackendHealth(
        reachable=True,
        version=_text(body.get("version")),
        active_requests=whole(body.get("active_requests")),
        max_concurrent=whole(body.get("max_concurrent")),
        queue_size=whole(body.get("queue_size")),
        loading_models=_loading(body),
    )


def _loading(body: Mapping[str, Any]) -> tuple[str, ...]:
    names = body.get("loading_models")
    if not isinstance(names, list):
        return ()
    return tuple(name for name in names if isinstance(name, str))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
