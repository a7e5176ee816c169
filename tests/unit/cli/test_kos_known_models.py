"""A model that no server has is refused with the nearest name; what cannot be asked is not."""

from __future__ import annotations

import pytest

from console.operations.known_models import unknown_model

KNOWN = {"ollama": ("llama3:8b", "qwen2.5:latest"), "mlx": ("qwen3-4b",)}


@pytest.mark.parametrize(
    ("model", "backend"),
    [("llama3:8b", None), ("llama3:8b", "ollama"), ("qwen2.5", "ollama"), ("qwen3-4b", "mlx")],
)
def test_a_model_that_is_there_is_taken(model: str, backend: str | None) -> None:
    assert unknown_model(model, backend, KNOWN) is None


def test_a_near_miss_is_named() -> None:
    assert unknown_model("lama3:8b", None, KNOWN) == (
        "model: 'lama3:8b' is not on any server; did you mean llama3:8b?"
    )
    assert unknown_model("llama3:8b", "mlx", KNOWN) == (
        "model: 'llama3:8b' is not on mlx; write one of qwen3-4b"
    )


def test_a_server_that_does_not_answer_may_have_it() -> None:
    away = {**KNOWN, "mlx": None}

    assert unknown_model("new", None, away) is None
    assert unknown_model("new", "mlx", away) is None
    assert unknown_model("new", "ollama", away) is not None
