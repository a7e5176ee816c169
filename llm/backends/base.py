"""The interface that every adapter implements."""

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
    """A model server. Threads may share it. Every method except `health` raises only
    `LLMError`s."""

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
        """Details of one listed model. Raises LLMError where the server cannot load its
        description."""
        ...

    def resident_models(self) -> tuple[ResidentModel, ...]:
        """The models in memory now; empty where the server does not report them."""
        ...

    def health(self) -> BackendHealth:
        """What the server reports about itself. Never raises: an unreachable server is a value."""
        ...

    def preload(
        self,
        model: str,
        *,
        num_ctx: int | None = None,
        deadlines: Deadlines,
        cancel: CancelToken | None = None,
    ) -> float:
        """Load the model into memory; returns the seconds it took."""
        ...

    def unload(self, model: str) -> None:
        """Drop the model from memory. Does nothing where the server cannot unload."""
        ...

    def generate(
        self,
        request: GenerateRequest,
        *,
        deadlines: Deadlines,
        cancel: CancelToken | None = None,
        on_progress: ProgressHook | None = None,
    ) -> Completion:
        """Generate one answer. The request is always streamed and the stream is always guarded."""
        ...

    def canary(self, model: str, *, num_ctx: int | None = None, deadlines: Deadlines = ...) -> None:
        """Generate one token; raises LLMError if none comes within ``deadlines``.

        For a model in memory, ``num_ctx`` must be the context it was loaded with: another value
        makes the server reload it.
        """
        ...

    def embed(self, model: str, texts: Sequence[str], *, seconds: float) -> list[list[float]]:
        """A vector for each text, in their order."""
        ...

    def close(self) -> None:
        """Close idle connections."""
        ...
