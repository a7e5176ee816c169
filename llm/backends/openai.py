"""Any OpenAI-compatible server: vLLM, llama-server, LM Studio, a hosted API."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from llm import errors
from llm.backends import openai_wire
from llm.backends.http import UNKNOWN_VERSION, HttpBackend, optional, version_of
from llm.types import (
    BackendHealth,
    BackendSpec,
    CancelToken,
    Deadlines,
    ModelInfo,
    ResidentModel,
)

LIMIT_REACHED = "output limit was reached"


class OpenAIBackend(HttpBackend):
    """Loads and residency are the server's own affair here: preload asks for one token, which
    makes servers that load on demand do so; unload does nothing."""

    def __init__(
        self, spec: BackendSpec, *, api_key: str | None = None, ca_bundle: str | None = None
    ) -> None:
        root = replace(spec, url=spec.url.removesuffix("/v1"))
        super().__init__(root, wire=openai_wire.OpenAIChat(), api_key=api_key, ca_bundle=ca_bundle)
        self.spec = spec

    def version(self) -> str:
        """vLLM's `/version`; others do not tell."""
        return optional(lambda: self._get("/version", version_of)) or UNKNOWN_VERSION

    def list_models(self) -> tuple[ModelInfo, ...]:
        return self._get("/v1/models", openai_wire.models_of)

    def resident_models(self) -> tuple[ResidentModel, ...]:
        """All, on servers that hold what they list (vLLM, SGLang, llama-server); else none: the
        others do not tell."""
        return self._get("/v1/models", openai_wire.residents_of)

    def preload(
        self,
        model: str,
        *,
        num_ctx: int | None = None,
        deadlines: Deadlines,
        cancel: CancelToken | None = None,
    ) -> float:
        del num_ctx  # fixed when such a server starts
        return self._load_by_token(model, deadlines=deadlines, cancel=cancel)

    def unload(self, model: str) -> None:
        del model

    def _one_token(self, model: str, **how: Any) -> float:
        """A model that thinks may find one token too few, which OpenAI answers with 400; but then
        it has generated."""
        started = time.monotonic()
        try:
            return super()._one_token(model, **how)
        except errors.BadRequest as exc:
            if LIMIT_REACHED not in str(exc):
                raise
        return time.monotonic() - started

    def _health(self) -> BackendHealth:
        self.list_models()
        running, waiting = openai_wire.load_of(self._metrics())
        return BackendHealth(reachable=True, active_requests=running, queue_size=waiting)

    def _metrics(self) -> bytes:
        try:
            return self._get_bytes("/metrics")
        except errors.LLMError:
            return b""  # the list of models has answered; figures are a courtesy
