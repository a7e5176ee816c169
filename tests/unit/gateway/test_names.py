"""What a name stands for."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from gateway.calls import Api, read_call
from gateway.errors import BadCall, UnknownModel
from gateway.names import NamedExpert, Target, resolve, slug_of
from llm.types import BackendKind, Category, ModelInfo, Scan, ScannedModel, ServerScan

ANNA = NamedExpert("Anna Weber", "Backend engineer", "You write careful backend code.")


def model(name: str, *categories: Category, can: tuple[str, ...] = ("completion",)) -> ScannedModel:
    return ScannedModel(
        ModelInfo(name, capabilities=frozenset(can)), categories or (Category.DEFAULT,)
    )


SCAN = Scan(
    at=datetime(2026, 11, 1, tzinfo=UTC),
    servers=(
        ServerScan(
            "ollama",
            BackendKind.OLLAMA,
            (
                model("qwen2.5-coder:7b", Category.CODING, can=("completion", "tools")),
                model("llava:7b", Category.VISION, can=("completion", "vision")),
                model("nomic-embed-text:latest", can=("embedding",)),
                model("fast", Category.CODING),
            ),
        ),
        ServerScan("mlx", BackendKind.MLX, (model("llama3:8b"), model("qwen2.5-coder:7b"))),
        ServerScan("away", BackendKind.OPENAI, None, error="unreachable"),
    ),
)


def target(name: str, text: str = "Hello", **body: object) -> Target:
    messages = [{"role": "user", "content": text}]
    raw = json.dumps({"model": name, "messages": messages, **body}).encode()
    return resolve(read_call(Api.OPENAI_CHAT, raw), scan=SCAN, experts=[ANNA])


def places(found: Target) -> list[tuple[str, str]]:
    return [(place.backend, place.model) for place in found.places]


def test_a_real_model_is_found_at_every_server_that_has_it() -> None:
    assert places(target("qwen2.5-coder:7b")) == [
        ("ollama", "qwen2.5-coder:7b"),
        ("mlx", "qwen2.5-coder:7b"),
    ]


def test_a_backend_before_the_name_chooses_the_server() -> None:
    assert places(target("mlx/qwen2.5-coder:7b")) == [("mlx", "qwen2.5-coder:7b")]


def test_a_real_model_wins_over_a_category_of_the_same_name() -> None:
    assert places(target("fast")) == [("ollama", "fast")]


def test_auto_follows_the_text() -> None:
    found = target("auto", "Fix this bug:\n```python\ndef f(): retrun 1\n```")
    assert ("ollama", "qwen2.5-coder:7b") in places(found)


@pytest.mark.parametrize("name", ["expert/Anna Weber", "expert/anna-weber", "expert/ANNA WEBER"])
def test_an_expert_is_a_model_whose_persona_comes_first(name: str) -> None:
    assert target(name).persona == ANNA


def test_an_unknown_name_is_refused_with_the_near_ones() -> None:
    with pytest.raises(UnknownModel, match=r"did you mean qwen2\.5-coder:7b"):
        target("qwen2.5-codr:7b")
    with pytest.raises(UnknownModel, match="expert/anna-weber"):
        target("expert/ana-weber")


def test_tools_go_only_where_they_are_offered() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert places(target("qwen2.5-coder:7b", tools=tools)) == [("ollama", "qwen2.5-coder:7b")]
    with pytest.raises(BadCall, match="does not offer tools"):
        target("llava:7b", tools=tools)


def test_an_embedding_model_is_not_asked_to_chat() -> None:
    with pytest.raises(BadCall):
        target("nomic-embed-text")


def test_slugs_keep_the_letters_of_every_script() -> None:
    assert slug_of("Анна Вебер") == "анна-вебер"
    assert slug_of("  Dr. O'Neil ") == "dr-o-neil"
