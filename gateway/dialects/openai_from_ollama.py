"""Ollama's calls to a server that speaks OpenAI's API only."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from gateway.calls import Api, JsonObject
from gateway.dialects.stream import BrokenStream, Lines, event_of, object_of, usage_of
from gateway.dialects.values import Route, Tokens
from gateway.errors import BadCall
from llm.wire import ollama
from llm.wire.values import GenerationUsage, dump

OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "num_predict": "max_tokens",
}
CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"


def route(api: Api, body: JsonObject) -> Route:
    """Raises BadCall where OpenAI's API cannot carry the call."""
    if api is Api.OLLAMA_EMBED:
        sent = {"model": body["model"], "input": body.get("input", body.get("prompt", ""))}
        return Route(EMBEDDINGS, sent, _no_stream, partial(_embeddings, model=body["model"]))
    chat = api is Api.OLLAMA_CHAT
    if not (body.get("messages") if chat else body.get("prompt")):
        raise BadCall("this server loads its models by itself; send a message or a prompt")
    return Route(
        CHAT,
        _body(body, chat=chat),
        partial(LineReader, body["model"], chat=chat),
        partial(_whole, model=body["model"], chat=chat),
    )


class LineReader:
    """OpenAI's events to Ollama's lines."""

    def __init__(self, model: str, *, chat: bool) -> None:
        self._model = model
        self._chat = chat
        self._lines = Lines()
        self._reason = "stop"
        self._calls: dict[int, JsonObject] = {}
        self.finished = False
        self.tokens = Tokens()

    def feed(self, chunk: bytes) -> bytes:
        return b"".join(self._line(line) for line in self._lines.feed(chunk))

    def _line(self, line: bytes) -> bytes:
        if line.startswith(b"data:") and line[5:].strip() == b"[DONE]":
            self.finished = True
            return self._last()
        found = event_of(line)
        if found is None:
            return b""
        if "error" in found:
            error = found["error"]
            raise BrokenStream(str(error.get("message") if isinstance(error, dict) else error))
        if isinstance(found.get("usage"), dict):
            self.tokens = usage_of(found["usage"])
        return self._piece(found)

    def _piece(self, found: JsonObject) -> bytes:
        choice = next(iter(found.get("choices") or ()), None)
        if not isinstance(choice, dict):
            return b""
        if choice.get("finish_reason"):
            self._reason = "length" if choice["finish_reason"] == "length" else "stop"
        delta = choice.get("delta") or {}
        self._collect(delta.get("tool_calls") or ())
        text = delta.get("content") or ""
        thinking = delta.get("reasoning_content") or delta.get("reasoning") or ""
        if not text and not thinking:
            return b""
        build = ollama.chat_chunk if self._chat else ollama.generate_chunk
        now = datetime.now(UTC)
        return ollama.line(build(model=self._model, at=now, text=text, thinking=thinking))

    def _collect(self, calls: Any) -> None:
        """OpenAI sends a tool call in pieces; Ollama sends it whole."""
        for call in calls:
            function = call.get("function") or {}
            kept = self._calls.setdefault(call.get("index", 0), {"name": "", "arguments": ""})
            kept["name"] += function.get("name") or ""
            kept["arguments"] += function.get("arguments") or ""

    def _last(self) -> bytes:
        functions = list(self._calls.values())
        return ollama.line(
            _final(self._model, self._reason, self.tokens, chat=self._chat, functions=functions)
        )


def _body(body: JsonObject, *, chat: bool) -> JsonObject:
    sent: JsonObject = {
        "model": body["model"],
        "messages": _chat_messages(body) if chat else _prompt_messages(body),
        "stream": bool(body.get("stream", True)),
    }
    if sent["stream"]:
        sent["stream_options"] = {"include_usage": True}
    options = body.get("options")
    for name, field in OPTIONS.items():
        if isinstance(options, dict) and options.get(name) is not None:
            sent[field] = options[name]
    if body.get("tools"):
        sent["tools"] = body["tools"]
    wanted = body.get("format")
    if wanted == "json":
        sent["response_format"] = {"type": "json_object"}
    elif isinstance(wanted, dict):
        schema = {"name": "answer", "schema": wanted}
        sent["response_format"] = {"type": "json_schema", "json_schema": schema}
    return sent


def _chat_messages(body: JsonObject) -> list[JsonObject]:
    return [_message(message, place) for place, message in enumerate(body["messages"])]


def _message(message: Mapping[str, Any], place: int) -> JsonObject:
    sent: JsonObject = {
        "role": message["role"],
        "content": _content(message.get("content") or "", message.get("images")),
    }
    calls = message.get("tool_calls")
    if calls:
        sent["tool_calls"] = [
            {
                "id": f"call_{place}_{number}",
                "type": "function",
                "function": {
                    "name": call["function"]["name"],
                    "arguments": json.dumps(call["function"].get("arguments") or {}),
                },
            }
            for number, call in enumerate(calls)
            if isinstance(call, dict) and isinstance(call.get("function"), dict)
        ]
    if message.get("tool_call_id"):
        sent["tool_call_id"] = message["tool_call_id"]
    return sent


def _prompt_messages(body: JsonObject) -> list[JsonObject]:
    messages = [{"role": "system", "content": body["system"]}] if body.get("system") else []
    return [
        *messages,
        {"role": "user", "content": _content(str(body["prompt"]), body.get("images"))},
    ]


def _content(text: str, images: object) -> object:
    if not isinstance(images, list) or not images:
        return text
    urls = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}}
        for image in images
    ]
    return [{"type": "text", "text": text}, *urls]


def _whole(answer: bytes, *, model: str, chat: bool) -> tuple[bytes, Tokens]:
    found = object_of(answer.strip()) or {}
    choice = next(iter(found.get("choices") or ()), None)
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        raise BrokenStream("the server's answer holds no message")
    message = choice["message"]
    usage = found.get("usage")
    tokens = usage_of(usage) if isinstance(usage, dict) else Tokens()
    reason = "length" if choice.get("finish_reason") == "length" else "stop"
    functions = [call["function"] for call in message.get("tool_calls") or ()]
    text = message.get("content") or ""
    return dump(_final(model, reason, tokens, chat=chat, functions=functions, text=text)), tokens


def _final(
    model: str,
    reason: str,
    tokens: Tokens,
    *,
    chat: bool,
    functions: list[JsonObject],
    text: str = "",
) -> JsonObject:
    build: Callable[..., JsonObject] = ollama.chat_final if chat else ollama.generate_final
    usage = GenerationUsage(
        prompt_tokens=tokens.prompt or 0, completion_tokens=tokens.completion or 0
    )
    final = build(model=model, at=datetime.now(UTC), reason=reason, usage=usage, text=text)
    if functions and chat:
        final["message"]["tool_calls"] = [
            {"function": {"name": f["name"], "arguments": object_of(f["arguments"].encode()) or {}}}
            for f in functions
        ]
    return final


def _embeddings(answer: bytes, *, model: str) -> tuple[bytes, Tokens]:
    found = object_of(answer.strip()) or {}
    data = found.get("data")
    if not isinstance(data, list):
        raise BrokenStream("the server's answer holds no embeddings")
    usage = found.get("usage")
    tokens = usage_of(usage) if isinstance(usage, dict) else Tokens()
    vectors = [item.get("embedding") for item in data if isinstance(item, dict)]
    body = {"model": model, "embeddings": vectors, "prompt_eval_count": tokens.prompt or 0}
    return dump(body), tokens


def _no_stream() -> LineReader:
    raise BadCall("embeddings are not streamed")
