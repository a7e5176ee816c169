"""Request bodies of both wires: what they mean, and how a wrong one is named."""

from __future__ import annotations

from typing import Any

import pytest

from llm.mlx_server.errors import InvalidRequest
from llm.mlx_server.fields import Fields, parse_body
from llm.mlx_server.ollama_requests import read_chat, read_generate
from llm.mlx_server.openai_requests import read_chat_completion
from llm.mlx_server.requests import ChatMessage, KeepAlive, read_keep_alive
from llm.mlx_server.structured import compile_schema

HELLO = [{"role": "user", "content": "hello"}]


class TestOllama:
    def test_defaults_are_ollama_s(self) -> None:
        request = read_chat({"model": "m", "messages": HELLO})
        assert request.stream
        assert request.max_tokens is None
        sampling = request.sampling
        assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.8, 0.9, 40)

    def test_a_prompt_becomes_a_chat_and_a_raw_one_does_not(self) -> None:
        chat = read_generate({"model": "m", "prompt": "hi", "system": "be brief"})
        assert chat.messages == (ChatMessage("system", "be brief"), ChatMessage("user", "hi"))
        raw = read_generate({"model": "m", "prompt": "hi", "raw": True})
        assert (raw.messages, raw.prompt) == ((), "hi")

    @pytest.mark.parametrize("body", [{}, {"prompt": ""}, {"prompt": None}])
    def test_an_empty_prompt_only_loads(self, body: dict[str, Any]) -> None:
        request = read_generate({"model": "m", **body})
        assert request.only_loads
        assert not request.unloads

    @pytest.mark.parametrize("keep_alive", [0, 0.0, "0", "0s"])
    def test_an_empty_prompt_with_no_keep_alive_unloads(self, keep_alive: object) -> None:
        assert read_generate({"model": "m", "keep_alive": keep_alive}).unloads

    @pytest.mark.parametrize("predict", [-1, -2, 0])
    def test_no_limit_leaves_the_limit_to_the_server(self, predict: int) -> None:
        options = {"num_predict": predict}
        assert read_generate({"model": "m", "options": options}).max_tokens is None

    def test_format_is_json_or_a_schema(self) -> None:
        assert read_chat({"model": "m", "format": "json"}).schema == {"type": "object"}
        assert read_chat({"model": "m", "format": {"type": "array"}}).schema == {"type": "array"}
        assert read_chat({"model": "m", "format": ""}).schema is None


class TestOpenAI:
    def test_defaults_are_openai_s(self) -> None:
        wanted = read_chat_completion({"model": "m", "messages": HELLO})
        assert not wanted.request.stream
        assert not wanted.include_usage
        assert wanted.request.sampling.temperature == 1.0

    def test_the_newer_name_of_the_token_limit_wins(self) -> None:
        body = {"model": "m", "messages": HELLO, "max_tokens": 5, "max_completion_tokens": 7}
        assert read_chat_completion(body).request.max_tokens == 7

    @pytest.mark.parametrize("described", [{"json_schema": {"schema": {}}}, {"schema": {}}])
    def test_both_places_of_a_schema_are_read(self, described: dict[str, Any]) -> None:
        format_ = {"type": "json_schema", **described}
        body = {"model": "m", "messages": HELLO, "response_format": format_}
        assert read_chat_completion(body).request.schema == {}

    def test_text_parts_are_joined(self) -> None:
        parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        body = {"model": "m", "messages": [{"role": "developer", "content": parts}]}
        messages = read_chat_completion(body).request.messages
        assert messages == (ChatMessage("system", "ab"),)

    @pytest.mark.parametrize(
        ("body", "named"),
        [
            ({"n": 2}, "n"),
            ({"tools": [{}]}, "tools"),
            ({"max_tokens": 0}, "max_tokens"),
            ({"max_tokens": True}, "max_tokens"),
            ({"temperature": float("nan")}, "temperature"),
            ({"temperature": 10**400}, "temperature"),
            ({"stream_options": 1}, "stream_options"),
            ({"logit_bias": {"x": 1}}, "logit_bias"),
            ({"logit_bias": {"1": 101}}, "logit_bias.1"),
            ({"response_format": {"type": "xml"}}, "response_format.type"),
            ({"response_format": {"type": "json_schema"}}, "response_format.schema"),
        ],
    )
    def test_a_wrong_field_is_named(self, body: dict[str, Any], named: str) -> None:
        with pytest.raises(InvalidRequest) as refusal:
            read_chat_completion({"model": "m", "messages": HELLO, **body})
        assert refusal.value.field == named


class TestKeepAlive:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            (5, 5.0),
            (2.5, 2.5),
            ("5m", 300.0),
            ("1h30m", 5400.0),
            ("1.5s", 1.5),
            ("250ms", 0.25),
            (-1, None),
            ("-1m", None),
            (10**400, None),
        ],
    )
    def test_numbers_are_seconds_and_strings_are_durations(
        self, value: object, seconds: float | None
    ) -> None:
        assert read_keep_alive(Fields({"keep_alive": value})) == KeepAlive(seconds)

    @pytest.mark.parametrize("value", ["-1", "5", "5x", "", "m", True, [], float("nan")])
    def test_anything_else_is_refused(self, value: object) -> None:
        with pytest.raises(InvalidRequest, match="keep_alive"):
            read_keep_alive(Fields({"keep_alive": value}))


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"\xff\xfe", b'{"a":' * 30_000, b"9" * 5000])
def test_a_body_that_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest, match="the body"):
        parse_body(raw)


@pytest.mark.parametrize("schema", [{"type": "no-such-type"}, {"$ref": "#/nowhere"}])
def test_a_schema_that_cannot_be_enforced_is_refused_by_field(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        compile_schema(schema, field="format")
    assert refusal.value.field == "format"
