"""The names that callers are shown."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.listing import listed, ollama_ps
from gateway.names import NamedExpert
from llm.types import (
    BackendKind,
    Category,
    ModelInfo,
    ResidentModel,
    Scan,
    ScannedModel,
    ServerScan,
)

AT = datetime(2026, 11, 1, tzinfo=UTC)


def scan(*models: ScannedModel, resident: tuple[ResidentModel, ...] = ()) -> Scan:
    return Scan(AT, (ServerScan("mlx", BackendKind.MLX, models, resident),))


def names(found: Scan) -> list[str]:
    return [entry.name for entry in listed(found, [NamedExpert("Anna Weber", "Engineer", "...")])]


def test_vision_is_offered_only_where_a_model_sees() -> None:
    blind = ScannedModel(ModelInfo("small"))
    seeing = ScannedModel(ModelInfo("llava"), (Category.VISION,))

    assert "vision" not in names(scan(blind))
    assert "vision" in names(scan(blind, seeing))


def test_real_models_come_first_and_experts_last() -> None:
    found = names(scan(ScannedModel(ModelInfo("small"))))

    assert (found[0], found[-1]) == ("small", "expert/anna-weber")


def test_what_was_seen_in_memory_lately_wins_over_the_scan() -> None:
    small = ScannedModel(ModelInfo("small", context_tokens=8192))
    found = scan(small, resident=(ResidentModel("small"),))

    assert ollama_ps(found, {"mlx": ()})["models"] == []
    assert [m["name"] for m in ollama_ps(found, {})["models"]] == ["small"]
