"""A checked request, in one form for both wire formats."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from llm.mlx_server.errors import InvalidRequest
from llm.mlx_server.fields import Fields, checked_text
from llm.mlx_server.sampling import DecoderSampling
from llm.wire.durations import go_duration

Role = Literal["system", "user", "assistant", "tool"]

ROLES = ("system", "user", "assistant", "tool")
MAX_MESSAGES = 4096
MAX_STOP_STRINGS = 16
MAX_TOKENS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ChatMessage:
    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """How long a model stays after its last use; ``seconds`` None is forever."""

    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRequest:
    """A checked request.

    ``messages`` for a chat, ``prompt`` for raw text; with neither, only load (or unload) the model.
    ``think`` None leaves the choice to the model. ``schema_field`` is the field that carried
    ``schema``, for error messages.
    """

    model: str
    messages: tuple[ChatMessage, ...] = ()
    prompt: str | None = None
    stream: bool = True
    max_tokens: int | None = None
    context_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: DecoderSampling = field(default_factory=DecoderSampling)
    schema: dict[str, Any] | None = None
    schema_field: str = "format"
    think: bool | None = None
    keep_alive: KeepAlive | None = None

    @property
    def only_loads(self) -> bool:
        return not self.messages and not self.prompt

    @property
    def unloads(self) -> bool:
        return self.only_loads and self.keep_alive is not None and self.keep_alive.seconds == 0


def read_messages(fields: Fields, key: str = "messages") -> tuple[ChatMessage, ...]:
    """The conversation. Text parts of a list are joined, other parts are refused."""
    value = fields.raw(key)
    name = fields.name(key)
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_MESSAGES:
        raise InvalidRequest(f"must be a list of at most {MAX_MESSAGES} messages", field=name)
    return tuple(_message(each, name=f"{name}[{at}]") for at, each in enumerate(value))


def _message(value: object, *, name: str) -> ChatMessage:
    if not isinstance(value, dict):
        raise InvalidRequest("must be an object", field=name)
    fields = Fields(value, path=f"{name}.")
    fields.refuse("images", "tool_calls", "audio")
    role = fields.text("role").replace("developer", "system")
    if role not in ROLES:
        raise InvalidRequest(f"must be one of {', '.join(ROLES)}", field=fields.name("role"))
    return ChatMessage(role, _content(fields))  # type: ignore[arg-type]


def _content(fields: Fields) -> str:
    content, name = fields.raw("content"), fields.name("content")
    if content is None:
        return ""
    if not isinstance(content, list):
        return checked_text(content, field=name)
    parts = []
    for at, part in enumerate(content):
        if not isinstance(part, dict) or part.get("type") != "text":
            raise InvalidRequest("must be text; this server reads no media", field=f"{name}[{at}]")
        parts.append(checked_text(part.get("text"), field=f"{name}[{at}].text"))
    return "".join(parts)


def read_keep_alive(fields: Fields) -> KeepAlive | None:
    """A number of seconds or a Go duration such as "5m"; negative means forever."""
    value, name = fields.raw("keep_alive"), fields.name("keep_alive")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise InvalidRequest("must be a number of seconds or a duration", field=name)
    seconds = _go_duration(value, field=name) if isinstance(value, str) else value
    if seconds != seconds:
        raise InvalidRequest("must be a number of seconds", field=name)
    return KeepAlive(None if seconds < 0 or seconds > MAX_TOKENS else float(seconds))


def _go_duration(text: str, *, field: str) -> float:
    try:
        return go_duration(text)
    except ValueError as error:
        raise InvalidRequest('must be a duration such as "5m" or "30s"', field=field) from error


def read_schema(value: object, *, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest("must be a JSON schema object", field=field)
    return value
