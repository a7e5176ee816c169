"""Turns tokens into the visible text: cuts at stop strings and separates thinking by its
markers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Detokenizer(Protocol):
    """The streaming detokenizer of mlx-lm."""

    @property
    def last_segment(self) -> str: ...
    def add_token(self, token: int) -> None: ...
    def finalize(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that can be sent: no later token can change it."""

    text: str = ""
    thinking: str = ""

    def __add__(self, later: Piece) -> Piece:
        return Piece(self.text + later.text, self.thinking + later.thinking)


@dataclass(frozen=True, slots=True)
class ThinkMarkers:
    start: str
    end: str


class AnswerText:
    """Collects the tokens of one answer and returns text as soon as it is final.

    Text that may be the beginning of a stop string or a think marker is held back. A stop string
    ends the answer and is not part of it; inside the thinking it has no effect. Thinking comes
    first and once: a later start marker is text.
    """

    def __init__(
        self,
        detokenizer: Detokenizer,
        *,
        stop: tuple[str, ...] = (),
        markers: ThinkMarkers | None = None,
        starts_thinking: bool = False,
    ) -> None:
        self.stopped = False
        self._detokenizer = detokenizer
        self._stop = stop
        self._markers = markers
        self._thinking = starts_thinking
        self._may_think = markers is not None and not starts_thinking
        self._held = ""
        self._new_tokens: list[int] = []

    @property
    def may_stop(self) -> bool:
        """Whether a stop string may end the answer, so that every token must be checked."""
        return bool(self._stop)

    def add(self, token: int) -> None:
        """Add a token. The work is done in ``take`` and ``finish``."""
        self._new_tokens.append(token)

    def take(self) -> Piece:
        """The text that became final since the last call. Sets ``stopped`` at a stop string."""
        self._read_tokens()
        return self._split(self._detokenizer.last_segment)

    def finish(self) -> Piece:
        """The remaining text at the end of generation."""
        self._read_tokens()
        self._detokenizer.finalize()
        piece = self._split(self._detokenizer.last_segment)
        held, self._held = self._held, ""
        if self.stopped or not held:
            return piece
        return piece + (Piece(thinking=held) if self._thinking else Piece(text=held))

    def _read_tokens(self) -> None:
        for token in self._new_tokens:
            self._detokenizer.add_token(token)
        self._new_tokens.clear()

    def _split(self, segment: str) -> Piece:
        if self.stopped or not segment:
            return Piece()
        if not self._stop and self._markers is None:
            return Piece(text=segment)
        self._held += segment
        output: dict[bool, str] = {False: "", True: ""}
        while self._advance(output):
            pass
        return Piece(text=output[False], thinking=output[True])

    def _advance(self, output: dict[bool, str]) -> bool:
        """Consume up to the first mark in the held text; False when there is none."""
        self._may_think = self._may_think and self._could_begin_thinking()
        turning = self._next_think_marker()
        marks = self._marks(turning)
        found = [_FoundMark(self._held.find(mark), mark) for mark in marks if mark in self._held]
        if not found:
            safe = len(self._held) - _longest_overlap(self._held, marks)
            output[self._thinking] += self._held[:safe]
            self._held = self._held[safe:]
            return False
        at, mark = min(found, key=lambda each: (each.end, each.at))
        output[self._thinking] += self._held[:at]
        if mark == turning:
            self._held = self._held[at + len(mark) :]
            self._thinking = not self._thinking
            self._may_think = False
            return True
        self._held = ""
        self.stopped = True
        return False

    def _could_begin_thinking(self) -> bool:
        """Whether the answer may still begin with thinking: so far it has only white space."""
        assert self._markers is not None
        marker, begun = self._markers.start, self._held.lstrip()
        return marker.startswith(begun) or begun.startswith(marker)

    def _next_think_marker(self) -> str | None:
        """The marker that starts or ends the thinking from here; None if there is none."""
        if self._markers is None or not (self._thinking or self._may_think):
            return None
        return self._markers.end if self._thinking else self._markers.start

    def _marks(self, turning: str | None) -> tuple[str, ...]:
        stop = () if self._thinking else self._stop
        return stop if turning is None else (turning, *stop)


class _FoundMark(NamedTuple):
    """A marker in the held text. The one that ends first wins, as in a character-by-character
    scan."""

    at: int
    mark: str

    @property
    def end(self) -> int:
        return self.at + len(self.mark)


def _longest_overlap(text: str, marks: tuple[str, ...]) -> int:
    """The length of the longest suffix of ``text`` that begins a marker."""
    longest = max((len(mark) for mark in marks), default=1) - 1
    for size in range(min(longest, len(text)), 0, -1):
        if any(mark.startswith(text[-size:]) for mark in marks):
            return size
    return 0
