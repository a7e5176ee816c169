"""A request of OpenAI's chat API as a task: a batch line, or a flexible request of the gateway.

Such a task is worked as it stands: no persona, no instructions of ours beside its messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobs.policy.fields import unstorable
from jobs.policy.metadata import read
from jobs.policy.sampling import SAMPLING_KEYS

TOKENS = ("max_completion_tokens", "max_tokens")


class ChatTaskError(Exception):
    """A request that cannot be a task; ``code`` is for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def as_json(self) -> dict[str, str]:
        return {"code": self.code, "message": str(self)}


@dataclass(frozen=True, slots=True)
class ChatTask:
    """``description`` is what the user asks last, with the exchange before it; ``schema`` is what
    the answer must fit, or None."""

    description: str
    metadata: Mapping[str, Any]
    schema: Mapping[str, Any] | None


def chat_task(body: Mapping[str, Any]) -> ChatTask:
    """Raises ChatTaskError, with a sentence that names the field as ``body`` does."""
    _refuse_unserved(body)
    _refuse_unstorable(body)
    system, question = _messages(body.get("messages"))
    metadata: dict[str, Any] = {"verbatim": True}
    if system:
        metadata["system"] = system
    tokens = next((name for name in TOKENS if body.get(name) is not None), None)
    if tokens is not None:
        metadata["max_tokens"] = body[tokens]
    metadata.update({name: body[name] for name in SAMPLING_KEYS if body.get(name) is not None})
    schema = _schema(body.get("response_format"))
    written = {"max_tokens": tokens, "response_schema": "response_format"}
    for problem in read({**metadata, "response_schema": schema}).problems:
        name = written.get(problem.field, problem.field)
        raise ChatTaskError("invalid_parameter", f"{name}: {problem.message}")
    return ChatTask(question, metadata, schema)


def _refuse_unserved(body: Mapping[str, Any]) -> None:
    if body.get("stream"):
        raise ChatTaskError("invalid_parameter", "stream: a task is not streamed; leave it out")
    if body.get("n") not in (None, 1):
        raise ChatTaskError("invalid_parameter", "n: only one answer is made; write 1")
    if body.get("tools"):
        raise ChatTaskError("invalid_parameter", "tools: are not served; leave them out")


def _refuse_unstorable(body: Mapping[str, Any]) -> None:
    for name, value in body.items():
        problem = unstorable(value, str(name)[:60])
        if problem is not None:
            raise ChatTaskError("invalid_parameter", str(problem))


def _messages(messages: object) -> tuple[str, str]:
    """(the system's texts, what the user asks last); an earlier exchange stands before it."""
    if not isinstance(messages, list) or not messages:
        raise ChatTaskError("invalid_messages", "messages: must be a list with a user message")
    system: list[str] = []
    turns: list[tuple[str, str]] = []
    for message in messages:
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise ChatTaskError("invalid_messages", "messages: each must have a role and content")
        text = _text(message.get("content"))
        if message["role"] in {"system", "developer"}:
            system.append(text)
        else:
            turns.append((message["role"], text))
    if not turns or turns[-1][0] != "user" or not turns[-1][1].strip():
        raise ChatTaskError(
            "invalid_messages", "messages: the last one must be the user's, with text"
        )
    earlier = "\n\n".join(f"{role}: {text}" for role, text in turns[:-1])
    question = turns[-1][1]
    return "\n\n".join(system), f"{earlier}\n\nuser: {question}" if earlier else question


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if not isinstance(content, list):
        raise ChatTaskError("invalid_messages", "messages: content must be text")
    parts = []
    for part in content:
        if not isinstance(part, Mapping) or part.get("type") != "text":
            raise ChatTaskError("invalid_messages", "messages: only parts of type text are served")
        if not isinstance(part.get("text"), str):
            raise ChatTaskError("invalid_messages", "messages: a part of type text needs text")
        parts.append(part["text"])
    return "\n".join(parts)


def _schema(response_format: object) -> dict[str, Any] | None:
    if response_format is None:
        return None
    if not isinstance(response_format, Mapping):
        raise ChatTaskError("invalid_response_format", "response_format: must be an object")
    kind = response_format.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    described = response_format.get("json_schema")
    if kind == "json_schema" and isinstance(described, Mapping):
        schema = described.get("schema")
        if isinstance(schema, Mapping):
            return dict(schema)
    raise ChatTaskError(
        "invalid_response_format",
        "response_format: write text, json_object, or json_schema with a schema",
    )
