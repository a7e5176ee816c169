"""Both wire formats are read into one value, and what is wrong is named."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.simulator.calls import (
    CallError,
    SimulatedCall,
    ollama_chat,
    ollama_generate,
    openai_chat,
    parse_keep_alive,
)

USER = {"role": "user", "content": "hello"}


def read(reader: Callable[[bytes], SimulatedCall], **body: Any) -> SimulatedCall:
    return reader(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        (0, 0.0),
        (90, 90.0),
        (-1, math.inf),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("-1m", math.inf),
        ("0", 0.0),
    ],
)
def test_keep_alive_is_read_as_ollama_reads_it(value: Any, seconds: float | None) -> None:
    assert parse_keep_alive(value) == seconds


@pytest.mark.parametrize("value", ["-1", "300", "5 m", "", "forever", True, []])
def test_a_wrong_keep_alive_is_refused(value: Any) -> None:
    with pytest.raises(CallError, match="duration"):
        parse_keep_alive(value)


def test_an_empty_prompt_loads_or_unloads() -> None:
    assert read(ollama_generate, model="m").purpose == "load"
    assert read(ollama_generate, model="m", keep_alive=0).purpose == "unload"
    assert read(ollama_chat, model="m", messages=[]).purpose == "load"
    assert read(ollama_chat, model="m", messages=[], keep_alive="0s").purpose == "unload"
    assert read(ollama_generate, model="m", prompt="x", keep_alive=0).purpose == "generate"


def test_the_last_user_message_is_the_prompt() -> None:
    messages = [
        {"role": "system", "content": "s" * 400},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "between"},
        {"role": "user", "content": [{"type": "text", "text": "last"}]},
    ]
    call = read(openai_chat, model="m", messages=messages)
    assert call.prompt == "last"
    assert call.prompt_tokens > 100


def test_streaming_is_ollama_s_default_and_not_openai_s() -> None:
    assert read(ollama_generate, model="m", prompt="x").stream
    assert not read(ollama_generate, model="m", prompt="x", stream=False).stream
    assert not read(openai_chat, model="m", messages=[USER]).stream


def test_limits_and_options_are_found() -> None:
    options = {"num_predict": 9, "num_ctx": 8192, "stop": ["\n"], "num_gpu": 1, "seed": 3}
    call = read(ollama_generate, model="m", prompt="x", options=options)
    assert (call.max_tokens, call.context_tokens, call.stops) == (9, 8192, ("\n",))
    assert call.load_options == (("num_gpu", "1"),)
    assert (
        read(ollama_generate, model="m", prompt="x", options={"num_predict": -1}).max_tokens is None
    )
    both = read(openai_chat, model="m", messages=[USER], max_tokens=5, max_completion_tokens=7)
    assert both.max_tokens == 7


def test_schemas_are_found_in_every_form() -> None:
    schema = {"type": "object"}
    assert read(ollama_generate, model="m", prompt="x", format=schema).schema == schema
    assert read(ollama_generate, model="m", prompt="x", format="json").schema is True
    nested = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    flat = {"type": "json_schema", "schema": schema}
    for wanted in (nested, flat):
        assert (
            read(openai_chat, model="m", messages=[USER], response_format=wanted).schema == schema
        )
    plain = {"type": "json_object"}
    assert read(openai_chat, model="m", messages=[USER], response_format=plain).schema is True


@pytest.mark.parametrize(
    ("reader", "body", "message"),
    [
        (ollama_generate, {}, "model is required"),
        (ollama_generate, {"model": "m", "prompt": 3}, "prompt: cannot read int"),
        (ollama_generate, {"model": "m", "prompt": "x", "options": []}, "options"),
        (ollama_generate, {"model": "m", "prompt": "x", "format": "xml"}, "invalid format"),
        (ollama_chat, {"model": "m", "messages": [3]}, r"messages\[0\]"),
        (ollama_chat, {"model": "m", "messages": [{"role": "user", "content": 5}]}, "content"),
        (openai_chat, {"model": "m", "messages": []}, "messages"),
        (openai_chat, {"model": "m", "messages": [USER], "max_tokens": 0}, "max_tokens"),
        (openai_chat, {"model": "m", "messages": [USER], "stop": [1]}, "stop"),
        (openai_chat, {"model": "m", "messages": [USER], "response_format": {"type": "x"}}, "type"),
    ],
)
def test_a_wrong_field_is_named(
    reader: Callable[[bytes], SimulatedCall], body: dict[str, Any], message: str
) -> None:
    with pytest.raises(CallError, match=message) as failure:
        read(reader, **body)
    assert failure.value.status == 400


@pytest.mark.parametrize("reader", [ollama_generate, ollama_chat, openai_chat])
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_object_is_400(
    reader: Callable[[bytes], SimulatedCall], data: bytes
) -> None:
    with pytest.raises(CallError) as failure:
        reader(data)
    assert failure.value.status == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    [
        "model",
        "prompt",
        "system",
        "messages",
        "options",
        "format",
        "stream",
        "keep_alive",
        "think",
        "images",
        "max_tokens",
        "stop",
        "response_format",
        "stream_options",
    ]
)


@pytest.mark.parametrize("reader", [ollama_generate, ollama_chat, openai_chat])
@given(body=st.dictionaries(FIELDS, JSON))
def test_any_body_is_a_call_or_an_error_of_ours(
    reader: Callable[[bytes], SimulatedCall], body: dict[str, Any]
) -> None:
    try:
        call = read(reader, **body)
    except CallError:
        return
    assert call.model
