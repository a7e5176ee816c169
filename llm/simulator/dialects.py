"""How the kinds of model server differ in their answers: one record for each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llm.types import BackendKind
from llm.wire.openai import ReasoningField


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """``owner`` is `owned_by` of `/v1/models`. ``ollama_paths``: it serves `/api/...`.

    ``sized_by_call``: the call sets the context of its model, and a longer prompt is cut; other
    kinds refuse it with 400. ``counts_active``: `/api/ps` reports running requests. ``health``: the
    body of `/health`.
    """

    owner: str
    ollama_paths: bool
    sized_by_call: bool
    counts_active: bool
    health: str
    reasoning_field: ReasoningField
    no_model: str


DIALECTS: Mapping[BackendKind, Dialect] = {
    BackendKind.OLLAMA: Dialect(
        owner="library",
        ollama_paths=True,
        sized_by_call=True,
        counts_active=False,
        health="absent",
        reasoning_field="reasoning_content",
        no_model="model '{}' not found",
    ),
    BackendKind.MLX: Dialect(
        owner="mlx",
        ollama_paths=True,
        sized_by_call=False,
        counts_active=True,
        health="figures",
        reasoning_field="reasoning_content",
        no_model="model '{}' not found",
    ),
    BackendKind.OPENAI: Dialect(
        owner="vllm",
        ollama_paths=False,
        sized_by_call=False,
        counts_active=False,
        health="blank",
        reasoning_field="reasoning",
        no_model="The model `{}` does not exist.",
    ),
}
