"""Any OpenAI-compatible server: vLLM, llama-server, LM Studio, a hosted API."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from llm import errors
from llm.backends import openai_wire
from llm.backends.http import UNKNOWN_VERSION, HttpBackend, optional, version_of
from llm.backends.transport import HttpTransport
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
    """The server decides what it loads. Preload generates one token, which makes load-on-demand
    servers load; unload does nothing."""

    def __init__(
        self, spec: BackendSpec, *, api_key: str | None = None, ca_bundle: str | None = None
    ) -> None:
        root = replace(spec, url=spec.url.removesuffix("/v1"))
        super().__init__(root, wire=openai_wire.OpenAIChat(), api_key=api_key, ca_bundle=ca_bundle)
        self.spec = spec
        self._metrics_of = [
            HttpTransport(BackendSpec(spec.name, spec.kind, url), ca_bundle=ca_bundle)
            for url in spec.metrics_urls
        ]

    def close(self) -> None:
        super().close()
        for transport in self._metrics_of:
            transport.close()

    def version(self) -> str:
        """vLLM's `/version`; "unknown" for other servers."""
        return optional(lambda: self._get("/version", version_of)) or UNKNOWN_VERSION

    def list_models(self) -> tuple[ModelInfo, ...]:
        return self._get("/v1/models", openai_wire.models_of)

    def resident_models(self) -> tuple[ResidentModel, ...]:
        """All listed models on servers that list only what they hold (vLLM, SGLang, llama-server);
        none on servers that do not report residency. llama-server also tells its slots."""
        residents, is_llama_server = self._get(
            "/v1/models", lambda body: (openai_wire.residents_of(body), openai_wire.is_llama(body))
        )
        if not residents or not is_llama_server:
            return residents
        slots = self._slots()
        return tuple(replace(model, prompt_slots=slots) for model in residents)

    def _slots(self) -> int | None:
        try:
            return self._get("/props", openai_wire.slots_of)
        except errors.LLMError:
            return None  # The model list has answered; the slots are optional.

    def preload(
        self,
        model: str,
        *,
        num_ctx: int | None = None,
        deadlines: Deadlines,
        cancel: CancelToken | None = None,
    ) -> float:
        del num_ctx  # Fixed at the start of such a server.
        return self._load_by_token(model, deadlines=deadlines, cancel=cancel)

    def unload(self, model: str) -> None:
        del model

    def _one_token(self, model: str, **how: Any) -> float:
        """Generate one token. A thinking model may reject one token as too few with 400; it has
        then generated, so that counts as success."""
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
        """Nothing where a part is missing: the rest would look like an idle server."""
        try:
            if not self._metrics_of:
                return self._get_bytes("/metrics")
            parts = [self._get_bytes("", transport) for transport in self._metrics_of]
            return b"\n".join(parts)
        except errors.LLMError:
            return b""  # The model list has answered; load figures are optional.
