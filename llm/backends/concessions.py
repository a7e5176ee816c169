"""Optional request fields and structured-output modes that a server rejects.

They are learned from its error responses, kept for the life of the process, and not sent again.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from llm import errors
from llm.types import GenerateRequest, Message

_INSTRUCTION = (
    "Answer with one JSON value that is valid against this JSON schema. "
    "Write nothing before or after it, and no code fence.\n"
)


SHORTEST_ANSWER = 64
"""Tokens. A prompt that leaves less room is too long."""
_COUNTED = re.compile(
    r"maximum context length is (\d{1,9}) tokens.{0,120}?\b(\d{1,9}) "
    r"(?:input tokens|in the messages|tokens from the input)",
    re.DOTALL,
)
"""vLLM and OpenAI: the context and the tokens of the prompt."""
SYSTEM = "system"
"""Stands for a system message among the optional fields of a request."""


class SchemaStep(IntEnum):
    """Ways to request structured output, strictest first."""

    JSON_SCHEMA = 0
    JSON_OBJECT = 1
    PROMPT = 2


@dataclass(frozen=True, slots=True)
class Concessions:
    """What one call leaves out, because the server rejects it. A server that only
    supports plain JSON gets the schema in the prompt."""

    left_out: frozenset[str] = frozenset()
    schema: SchemaStep = SchemaStep.JSON_SCHEMA

    def without(self, field: str) -> Concessions:
        return replace(self, left_out=self.left_out | {field})

    def weaker(self) -> Concessions:
        """The next weaker way to request structured output."""
        return replace(self, schema=SchemaStep(min(self.schema + 1, SchemaStep.PROMPT)))

    def joined(self, other: Concessions) -> Concessions:
        return Concessions(self.left_out | other.left_out, max(self.schema, other.schema))

    def applied(self, request: GenerateRequest) -> GenerateRequest:
        """``request`` with the schema in its prompt where the server does not enforce it, and the
        system message in the user's where the model has no such role."""
        messages = request.messages
        if request.response_schema is not None and self.schema is not SchemaStep.JSON_SCHEMA:
            messages = _with_instruction(messages, request.response_schema)
        if SYSTEM in self.left_out:
            messages = _without_system(messages)
        return request if messages is request.messages else replace(request, messages=messages)


NOTHING_LEFT_OUT = Concessions()


@dataclass(slots=True)
class LearnedConcessions:
    """The concessions of one server and of its models. Threads may share it."""

    _server: Concessions = NOTHING_LEFT_OUT
    _models: dict[str, Concessions] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, model: str) -> Concessions:
        with self._lock:
            return self._server.joined(self._models.get(model, NOTHING_LEFT_OUT))

    def learn(self, model: str, found: Concessions, *, concerns: errors.Concern) -> None:
        """Keep ``found`` for later calls, unless it concerns this request only."""
        with self._lock:
            if concerns == "server":
                self._server = self._server.joined(found)
            elif concerns == "model":
                before = self._models.get(model, NOTHING_LEFT_OUT)
                self._models[model] = before.joined(found)


def concessions_after(used: Concessions, error: errors.LLMError) -> Concessions | None:
    """What to leave out after ``error``; None when nothing is left to leave out."""
    if isinstance(error, errors.FieldRefused):
        if error.field is None or error.field in used.left_out:
            return None
        return used.without(error.field)
    if isinstance(error, errors.SchemaUnsupported) and used.schema is not SchemaStep.PROMPT:
        return used.weaker()
    return None


def room_told(error: errors.PromptTooLong) -> int | None:
    """How many tokens the prompt leaves for the answer, where the server counted both."""
    counted = _COUNTED.search(str(error))
    return int(counted[1]) - int(counted[2]) if counted else None


def _with_instruction(
    messages: tuple[Message, ...], schema: Mapping[str, Any]
) -> tuple[Message, ...]:
    """Add the instruction to the system message, so that the user's text stays as it is."""
    instruction = _INSTRUCTION + json.dumps(schema, ensure_ascii=False)
    if messages and messages[0].role == "system":
        first = replace(messages[0], content=f"{messages[0].content}\n\n{instruction}")
        return (first, *messages[1:])
    return (Message("system", instruction), *messages)


def _without_system(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Put the words of a system message before those of the message that follows it."""
    if len(messages) < 2 or messages[0].role != SYSTEM:
        return messages
    system, first, *others = messages
    return (replace(first, content=f"{system.content}\n\n{first.content}"), *others)
