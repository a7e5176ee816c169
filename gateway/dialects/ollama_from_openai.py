"""OpenAI's calls to an Ollama server, in its own words.

Ollama serves OpenAI's API too, but there no context can be named: a chat would load the model anew
for the server's default, and the next task again for ours. So a chat is put to ``/api/chat`` with
the context that tasks use, and a completion to ``/api/generate``. Fields that Ollama's ``/v1`` does
not read either are left out; those that would change the answer are refused.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any

from gateway.calls import Api, JsonObject
from gateway.dialects.stream import BrokenStream, Lines, object_of, ollama_tokens
from gateway.dialects.values import Route, Tokens
from gateway.errors import BadCall
from llm.wire import openai
from llm.wire.values import GenerationUsage, dump

OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
}
"""OpenAI's fields and the options that mean the same (source: Ollama openai/openai.go)."""
NEUTRAL: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "logit_bias": ({},),
    "functions": ([],),
    "echo": (False,),
    "modalities": (["text"],),
    "audio": (),
}
"""Fields that change an answer and that Ollama has no word for, and the values that change nothing
(source: the same)."""


def translated(api: Api, body: JsonObject, *, num_ctx: int) -> Route | None:
    """The route in Ollama's own words, None for what only its ``/v1`` has; raises BadCall."""
    if api is Api.OPENAI_EMBEDDINGS or body.get("logprobs"):
        return None
    for name, harmless in NEUTRAL.items():
        if body.get(name) is not None and body[name] not in harmless:
            raise BadCall(f"{name}: Ollama has no such choice; leave it out or name another server")
    model = body["model"]
    include_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    if api is Api.OPENAI_COMPLETIONS:
        return Route(
            "/api/generate",
            completion_body(body, num_ctx=num_ctx),
            partial(CompletionReader, model, include_usage=include_usage),
            partial(_whole_completion, model=model),
        )
    return Route(
        "/api/chat",
        chat_body(body, num_ctx=num_ctx),
        partial(ChatReader, model, include_usage=include_usage),
        partial(_whole, model=model),
    )


def chat_body(body: JsonObject, *, num_ctx: int) -> JsonObject:
    """The body of ``/api/chat``; raises BadCall."""
    chat: JsonObject = {
        "model": body["model"],
        "messages": [_message(message) for message in body["messages"]],
        "stream": bool(body.get("stream", False)),
        "options": _options(body, num_ctx),
    }
    if body.get("tools") and body.get("tool_choice") != "none":
        chat["tools"] = body["tools"]
    if body.get("reasoning_effort") in ("low", "medium", "high"):
        chat["think"] = body["reasoning_effort"]
    answer_format = _format(body.get("response_format"))
    if answer_format is not None:
        chat["format"] = answer_format
    return chat


def completion_body(body: JsonObject, *, num_ctx: int) -> JsonObject:
    """The body of ``/api/generate``; raises BadCall."""
    prompt = body["prompt"]
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str) or not prompt:
        raise BadCall("prompt: write one text")
    sent: JsonObject = {
        "model": body["model"],
        "prompt": prompt,
        "stream": bool(body.get("stream", False)),
        "options": _options(body, num_ctx),
    }
    if body.get("suffix"):
        sent["suffix"] = body["suffix"]
    return sent


def _options(body: JsonObject, num_ctx: int) -> JsonObject:
    options: JsonObject = {"num_ctx": num_ctx}
    for name, option in OPTIONS.items():
        if body.get(name) is not None:
            options[option] = body[name]
    if isinstance(options.get("stop"), str):
        options["stop"] = [options["stop"]]
    return options


class ChatReader:
    """Ollama's chat lines to OpenAI's chunks."""

    prefix = "chatcmpl"

    def __init__(self, model: str, *, include_usage: bool) -> None:
        self._model = model
        self._include_usage = include_usage
        self._id = _new_id(self.prefix)
        self._lines = Lines()
        self._begun = False
        self._calls = 0
        self.finished = False
        self.tokens = Tokens()

    def feed(self, chunk: bytes) -> bytes:
        return b"".join(self._event(line) for line in self._lines.feed(chunk) if line.strip())

    def _event(self, line: bytes) -> bytes:
        found = object_of(line.strip())
        if found is None:
            raise BrokenStream("the server sent a line that is no JSON object")
        if "error" in found:
            raise BrokenStream(str(found["error"]))
        pieces = [self._chunk(self._delta(found))]
        if found.get("done") is True:
            self.tokens = ollama_tokens(found)
            self.finished = True
            pieces.append(self._chunk({}, finish_reason=_finish_reason(found, self._calls)))
            if self._include_usage:
                pieces.append({**self._chunk({}), "choices": [], "usage": _usage(self.tokens)})
            return b"".join(openai.event(piece) for piece in pieces) + openai.DONE
        return openai.event(pieces[0])

    def _delta(self, line: JsonObject) -> JsonObject:
        delta = _delta(line, self._calls, first=not self._begun)
        self._begun = True
        self._calls += len(_tool_calls(line))
        return delta

    def _chunk(self, delta: JsonObject, finish_reason: str | None = None) -> JsonObject:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": self._model,
            "choices": [choice],
        }


class CompletionReader(ChatReader):
    """Ollama's generated lines to OpenAI's completion chunks."""

    prefix = "cmpl"

    def _delta(self, line: JsonObject) -> JsonObject:
        return {"text": line.get("response") or ""}

    def _chunk(self, delta: JsonObject, finish_reason: str | None = None) -> JsonObject:
        return _completion(self._id, self._model, delta.get("text", ""), finish_reason)


def _completion(id_: str, model: str, text: str, finish_reason: str | None) -> JsonObject:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}
    return {
        "id": id_,
        "object": "text_completion",
        "created": int(time.time()),
        "model": model,
        "choices": [choice],
    }


def _whole_completion(answer: bytes, *, model: str) -> tuple[bytes, Tokens]:
    found = object_of(answer.strip())
    if found is None or not isinstance(found.get("response"), str):
        raise BrokenStream("the server's answer holds no response")
    tokens = ollama_tokens(found)
    reason = _finish_reason(found, 0)
    body = _completion(_new_id("cmpl"), model, found["response"], reason)
    return dump({**body, "usage": _usage(tokens)}), tokens


def _whole(answer: bytes, *, model: str) -> tuple[bytes, Tokens]:
    found = object_of(answer.strip())
    if found is None or not isinstance(found.get("message"), dict):
        raise BrokenStream("the server's answer holds no message")
    message = found["message"]
    reply: JsonObject = {"role": "assistant", "content": message.get("content") or ""}
    if message.get("thinking"):
        reply["reasoning_content"] = message["thinking"]
    calls = _openai_calls(_tool_calls(found), first=0)
    if calls:
        reply["tool_calls"] = calls
    tokens = ollama_tokens(found)
    reason = _finish_reason(found, len(calls))
    choice = {"index": 0, "message": reply, "logprobs": None, "finish_reason": reason}
    body = {
        "id": _new_id("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [choice],
        "usage": _usage(tokens),
    }
    return dump(body), tokens


def _message(message: Mapping[str, Any]) -> JsonObject:
    role = "system" if message["role"] == "developer" else message["role"]
    text, images = _parts(message.get("content"))
    sent: JsonObject = {"role": role, "content": text}
    if images:
        sent["images"] = images
    if message.get("tool_calls"):
        sent["tool_calls"] = [_sent_call(call) for call in message["tool_calls"]]
    if role == "tool" and message.get("tool_call_id"):
        sent["tool_call_id"] = message["tool_call_id"]
    return sent


def _parts(content: object) -> tuple[str, list[str]]:
    if content is None or isinstance(content, str):
        return content or "", []
    texts, images = [], []
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and part.get("type") == "text":
            texts.append(str(part.get("text", "")))
        elif isinstance(part, dict) and part.get("type") == "image_url":
            images.append(_image(part.get("image_url")))
        else:
            raise BadCall("messages: a content part must be text or image_url")
    return "\n".join(texts), images


def _image(value: object) -> str:
    url = value.get("url") if isinstance(value, dict) else value
    head, _, data = str(url).partition(",")
    if not head.startswith("data:image/") or not head.endswith(";base64"):
        raise BadCall("image_url: send the image itself, as data:image/...;base64,...")
    return data


def _sent_call(call: object) -> JsonObject:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise BadCall("messages: a tool call has no function")
    arguments = function.get("arguments") or "{}"
    try:
        parsed = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError as error:
        raise BadCall(f"messages: the arguments of a tool call are not JSON: {error}") from error
    return {"function": {"name": function.get("name", ""), "arguments": parsed}}


def _format(wanted: object) -> object | None:
    if not isinstance(wanted, dict) or wanted.get("type") in (None, "text"):
        return None
    if wanted["type"] == "json_object":
        return "json"
    schema = (wanted.get("json_schema") or {}).get("schema", wanted.get("schema"))
    if wanted["type"] == "json_schema" and isinstance(schema, dict):
        return schema
    raise BadCall("response_format: write text, json_object, or json_schema with its schema")


def _delta(found: JsonObject, calls_before: int, *, first: bool) -> JsonObject:
    message = found.get("message") or {}
    delta: JsonObject = {"role": "assistant"} if first else {}
    if message.get("content") or first:
        delta["content"] = message.get("content") or ""
    if message.get("thinking"):
        delta["reasoning_content"] = message["thinking"]
    calls = _openai_calls(_tool_calls(found), first=calls_before)
    if calls:
        delta["tool_calls"] = calls
    return delta


def _tool_calls(found: JsonObject) -> list[JsonObject]:
    calls = (found.get("message") or {}).get("tool_calls") or []
    return [call["function"] for call in calls if isinstance(call.get("function"), dict)]


def _openai_calls(functions: list[JsonObject], *, first: int) -> list[JsonObject]:
    return [
        {
            "index": first + place,
            "id": f"call_{uuid.uuid4().hex[:12]}",
            "type": "function",
            "function": {
                "name": function.get("name", ""),
                "arguments": json.dumps(function.get("arguments") or {}, ensure_ascii=False),
            },
        }
        for place, function in enumerate(functions)
    ]


def _finish_reason(found: JsonObject, calls: int) -> str:
    if calls:
        return "tool_calls"
    return "length" if found.get("done_reason") == "length" else "stop"


def _usage(tokens: Tokens) -> JsonObject:
    figures = GenerationUsage(
        prompt_tokens=tokens.prompt or 0, completion_tokens=tokens.completion or 0
    )
    return openai.usage_figures(figures)


def _new_id(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex}"
