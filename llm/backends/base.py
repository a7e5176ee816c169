"""The one interface of a model server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from llm.types import (
    BackendHealth,
    BackendSpec,
    CancelToken,
    Completion,
    Deadlines,
    GenerateRequest,
    ModelInfo,
    ProgressHook,
    ResidentModel,
)


class BackendAdapter(Protocol):
    """A model server. Shared by threads; every method but `health` raises `LLMError`s only."""

    @property
    def spec(self) -> BackendSpec: ...

    @property
    def name(self) -> str: ...

    def version(self) -> str:
        """The server's version, or "unknown"."""
        ...

    def list_models(self) -> tuple[ModelInfo, ...]:
        """Every model the server can serve."""
        ...

    def describe(self, model: ModelInfo) -> ModelInfo:
        """What the server tells of one listed model beyond the list; raises where it is broken."""
        ...

    def resident_models(self) -> tuple[ResidentModel, ...]:
        """The models in memory now; empty where the server does not tell."""
        ...

    def health(self) -> BackendHealth:
        """What the server says of itself. Never raises: unreachable is a value."""
        ...

    def preload(
        self,
        model: str,
        *,
        num_ctx: int | None = None,
        deadlines: Deadlines,
        cancel: CancelToken | None = None,
    ) -> float:
        """Bring the model into memory; returns the seconds it took."""
        ...

    def unload(self, model: str) -> None:
        """Drop the model from memory; nothing happens where the server cannot."""
        ...

    def generate(
        self,
        request: GenerateRequest,
        *,
        deadlines: Deadlines,
        cancel: CancelToken | None = None,
        on_progress: ProgressHook | None = None,
    ) -> Completion:
        """One whole answer: always streamed, always guarded."""
        ...

    def canary(self, model: str, *, num_ctx: int | None = None, deadlines: Deadlines = ...) -> None:
        """Generate one token; raises where no generation happens within ``deadlines``. For a model
        in memory ``num_ctx`` is the context it has there: another one would load it anew."""
        ...

    def embed(self, model: str, texts: Sequence[str], *, seconds: float) -> list[list[float]]:
        """A vector for each text, in their order."""
        ...

    def close(self) -> None:
        """Close idle connections."""
        ...
