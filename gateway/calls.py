"""A caller's request, parsed once: its API, its model, and the required capabilities."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from gateway.errors import BadCall

JsonObject = dict[str, Any]
SHAPES: dict[str, type] = {
    "messages": list,
    "tools": list,
    "images": list,
    "options": dict,
    "stream_options": dict,
    "response_format": dict,
}
"""Fields that we look into. Everything else is the server's to judge."""
MAX_DEPTH = 100
"""Deeper bodies are refused before anything walks through them."""


class Api(StrEnum):
    """An endpoint of ours, in the words of the API that it belongs to."""

    OPENAI_CHAT = "/v1/chat/completions"
    OPENAI_COMPLETIONS = "/v1/completions"
    OPENAI_EMBEDDINGS = "/v1/embeddings"
    OLLAMA_CHAT = "/api/chat"
    OLLAMA_GENERATE = "/api/generate"
    OLLAMA_EMBED = "/api/embed"

    @property
    def is_ollama(self) -> bool:
        return self.value.startswith("/api/")

    @property
    def embeds(self) -> bool:
        return self in (Api.OPENAI_EMBEDDINGS, Api.OLLAMA_EMBED)


@dataclass(frozen=True, slots=True)
class Call:
    """One request. ``needs`` are capabilities (``vision``, ``tools``, ``embedding``)."""

    api: Api
    model: str
    body: JsonObject
    stream: bool
    needs: frozenset[str]

    @property
    def text(self) -> str:
        """What the caller wrote, for the choice of a category and the size of the prompt."""
        if "messages" in self.body:
            return "\n".join(_content(message) for message in self.messages)
        prompt = self.body.get("prompt", self.body.get("input", ""))
        return prompt if isinstance(prompt, str) else json.dumps(prompt, ensure_ascii=False)

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        found = self.body.get("messages", [])
        return [message for message in found if isinstance(message, dict)]

    @property
    def max_tokens(self) -> int | None:
        options = self.body.get("options")
        limits = (
            self.body.get("max_completion_tokens"),
            self.body.get("max_tokens"),
            options.get("num_predict") if isinstance(options, dict) else None,
        )
        return next((n for n in limits if isinstance(n, int) and n > 0), None)

    def with_persona(self, system_prompt: str) -> Call:
        """The same call with the persona before the caller's messages."""
        if self.api is Api.OLLAMA_GENERATE:
            own = self.body.get("system")
            system = f"{system_prompt}\n\n{own}" if isinstance(own, str) and own else system_prompt
            return replace(self, body={**self.body, "system": system})
        if "messages" not in self.body:
            raise BadCall("an expert answers chats only: send messages to a chat endpoint")
        persona = {"role": "system", "content": system_prompt}
        return replace(self, body={**self.body, "messages": [persona, *self.body["messages"]]})


def read_call(api: Api, raw: bytes) -> Call:
    """Raises BadCall, with a sentence that names the field."""
    body = read_object(raw)
    model = body.get("model")
    if not isinstance(model, str) or not model.strip():
        raise BadCall("model: name a model, a category, or expert/NAME; GET /v1/models lists them")
    for name, shape in SHAPES.items():
        if body.get(name) is not None and not isinstance(body[name], shape):
            raise BadCall(f"{name}: write {'a list' if shape is list else 'an object'}")
    if body.get("messages") is not None or api is Api.OPENAI_CHAT:
        _check_messages(body.get("messages"), required=api is Api.OPENAI_CHAT)
    stream = body.get("stream")
    if stream is None:
        stream = api.is_ollama and not api.embeds
    if not isinstance(stream, bool):
        raise BadCall("stream: write true or false")
    if api is Api.OPENAI_COMPLETIONS and not isinstance(body.get("prompt"), str | list):
        raise BadCall("prompt: write a text")
    return Call(api, model.strip(), body, stream and not api.embeds, _needs(api, body))


def read_object(raw: bytes) -> JsonObject:
    """The JSON object of a body; raises BadCall."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadCall(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadCall("the body is not a JSON object")
    if _deeper_than(body, MAX_DEPTH):
        raise BadCall(f"the body is nested deeper than {MAX_DEPTH} levels")
    return body


def _deeper_than(value: object, levels: int) -> bool:
    layer: list[object] = [value]
    for _ in range(levels):
        layer = [
            inner
            for item in layer
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        if not layer:
            return False
    return True


def _check_messages(messages: object, *, required: bool) -> None:
    if not isinstance(messages, list) or (required and not messages):
        raise BadCall("messages: write a list of messages")
    for place, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise BadCall(f"messages[{place}]: write an object with role and content")
        content = message.get("content")
        if content is not None and not isinstance(content, str | list):
            raise BadCall(f"messages[{place}].content: write a text or a list of parts")
        for name in ("tool_calls", "images"):
            if message.get(name) is not None and not isinstance(message[name], list):
                raise BadCall(f"messages[{place}].{name}: write a list")


def _needs(api: Api, body: JsonObject) -> frozenset[str]:
    needs = set()
    if api.embeds:
        needs.add("embedding")
    if body.get("tools"):
        needs.add("tools")
    if body.get("images") or any(_has_image(message) for message in body.get("messages") or ()):
        needs.add("vision")
    return frozenset(needs)


def _has_image(message: object) -> bool:
    if not isinstance(message, dict):
        return False
    parts = message.get("content")
    if message.get("images"):
        return True
    return isinstance(parts, list) and any(
        isinstance(part, dict) and part.get("type") == "image_url" for part in parts
    )


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n".join(text for text in texts if isinstance(text, str))
    return ""
