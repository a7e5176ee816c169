"""Ollama."""

from __future__ import annotations

from functools import partial

from llm.backends import ollama_wire
from llm.backends.http import UNLOAD_SECONDS, HttpBackend, raise_error_in, version_of
from llm.types import (
    BackendHealth,
    BackendSpec,
    CancelToken,
    Deadlines,
    ModelInfo,
    ResidentModel,
)


class OllamaBackend(HttpBackend):
    """An Ollama server, 0.6 or newer."""

    def __init__(
        self, spec: BackendSpec, *, api_key: str | None = None, ca_bundle: str | None = None
    ) -> None:
        super().__init__(spec, wire=ollama_wire.OllamaChat(), api_key=api_key, ca_bundle=ca_bundle)

    def version(self) -> str:
        return self._get("/api/version", version_of)

    def list_models(self) -> tuple[ModelInfo, ...]:
        return self._get("/api/tags", ollama_wire.models_of)

    def describe(self, model: ModelInfo) -> ModelInfo:
        body = {"model": model.name}
        read = partial(ollama_wire.described, model)
        return self._post("/api/show", body, read, model=model.name)

    def resident_models(self) -> tuple[ResidentModel, ...]:
        return self._get("/api/ps", ollama_wire.residents_of)

    def preload(
        self,
        model: str,
        *,
        num_ctx: int | None = None,
        deadlines: Deadlines,
        cancel: CancelToken | None = None,
    ) -> float:
        body = ollama_wire.preload_body(model, num_ctx)
        return self._load("/api/generate", body, model=model, deadlines=deadlines, cancel=cancel)

    def unload(self, model: str) -> None:
        body = ollama_wire.unload_body(model)
        self._post("/api/generate", body, raise_error_in, model=model, seconds=UNLOAD_SECONDS)

    def _health(self) -> BackendHealth:
        return BackendHealth(reachable=True, version=self.version())
