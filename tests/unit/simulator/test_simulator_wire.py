"""The wire builders say what the real servers say."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from ollama import ChatResponse, GenerateResponse, ListResponse, ProcessResponse, ShowResponse
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from llm.wire import ollama, openai
from llm.wire.values import GenerationUsage, ModelCard

AT = datetime(2026, 3, 14, 9, 26, 53, 123456, tzinfo=UTC)
CARD = ModelCard(
    name="qwq:32b",
    size_bytes=19_900_000_000,
    parameters=32_800_000_000,
    quantization="Q4_K_M",
    context_tokens=131_072,
    capabilities=("completion", "thinking"),
    family="qwen2",
)
USAGE = GenerationUsage(
    prompt_tokens=11,
    completion_tokens=7,
    load_seconds=0.0,
    prompt_seconds=0.25,
    completion_seconds=1.5,
    total_seconds=2.0,
)


def test_durations_are_nanoseconds_and_zeros_are_left_out() -> None:
    final = ollama.generate_final(model="m", at=AT, reason="stop", usage=USAGE)
    assert final["eval_duration"] == 1_500_000_000
    assert final["prompt_eval_count"] == 11
    assert "load_duration" not in final
    assert final["created_at"] == "2026-03-14T09:26:53.123456Z"


def test_ollama_s_own_types_take_every_object() -> None:
    chunk = ollama.chat_chunk(model="m", at=AT, text="", thinking="hm")
    assert ChatResponse(**chunk).message.thinking == "hm"
    final = ollama.generate_final(model="m", at=AT, reason="load")
    assert GenerateResponse(**final).done_reason == "load"
    assert ListResponse(**ollama.tags([CARD])).models[0].size == 19_900_000_000
    entry = ollama.ps_entry(CARD, expires_at=AT, context_tokens=4096)
    assert ProcessResponse(**ollama.ps([entry])).models[0].context_length == 4096
    shown = ShowResponse(**ollama.show(CARD))
    assert shown.capabilities == ["completion", "thinking"]
    assert shown.details is not None
    assert shown.details.parameter_size == "32.8B"


def test_openai_s_own_types_take_every_object() -> None:
    whole = openai.completion(
        completion_id="c", model="m", at=AT, text="hi", finish_reason="stop", usage=USAGE
    )
    assert ChatCompletion.model_validate(whole).usage is not None
    chunk = openai.chunk(completion_id="c", model="m", at=AT, text="hi", role="assistant")
    assert ChatCompletionChunk.model_validate(chunk).choices[0].delta.content == "hi"
    last = openai.usage_chunk(completion_id="c", model="m", at=AT, usage=USAGE)
    figures = ChatCompletionChunk.model_validate(last).usage
    assert figures is not None
    assert figures.total_tokens == 18
    listed = openai.models([CARD], owned_by="vllm")
    assert Model.model_validate(listed["data"][0]).id == "qwq:32b"


def test_lines_and_events_are_framed() -> None:
    assert ollama.line({"a": "ж"}) == '{"a":"ж"}\n'.encode()
    assert openai.event({"a": 1}) == b'data: {"a":1}\n\n'
    assert json.loads(ollama.line({"a": "\ud83d"})) == {"a": "?"}


def test_parameter_sizes_are_written_as_people_do() -> None:
    sizes = {494_000_000: "494M", 1_100_000_000: "1.1B", 0: ""}
    for parameters, text in sizes.items():
        assert ModelCard(name="m", size_bytes=1, parameters=parameters).parameter_size == text
