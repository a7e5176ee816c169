"""How a call is put to a server, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.calls import JsonObject


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a call read and wrote; None where the server does not say.

    ``load_seconds`` is what the server says it spent on loading the model inside the call.
    """

    prompt: int | None = None
    completion: int | None = None
    load_seconds: float = 0.0


class StreamReader(Protocol):
    """Turns a server's bytes into the caller's. ``finished``: the end mark was seen."""

    @property
    def finished(self) -> bool: ...

    @property
    def tokens(self) -> Tokens: ...

    def feed(self, chunk: bytes) -> bytes:
        """What to send on for ``chunk``; raises BrokenStream."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """Where and how a call is sent, and how its answer is read. ``whole`` translates an answer that
    is not streamed into the caller's dialect; it raises BrokenStream."""

    path: str
    body: JsonObject
    reader: Callable[[], StreamReader]
    whole: Callable[[bytes], tuple[bytes, Tokens]]
