"""Collects one streamed answer, and stops it early when it has gone bad.

Pure: no clock, no socket. The detectors run every few hundred characters, so that a token costs one
append and two additions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from llm import errors
from llm.detectors.blank import is_blank
from llm.detectors.echo import EchoWatch, is_echo
from llm.detectors.repetition import STEP_CHARS, RepetitionWatch
from llm.detectors.runaway import is_runaway
from llm.thinking import split_thinking


class AnswerGuard:
    """Collects an answer of at most ``max_tokens`` to ``prompt``; raises `BadAnswer` errors."""

    def __init__(self, *, prompt: str, max_tokens: int) -> None:
        self._prompt = prompt
        self._echo = EchoWatch(prompt)
        self._max_tokens = max_tokens
        self._text = _Channel(self._inspect_text)
        self._thinking = _Channel(self._inspect_thinking)
        self._text_loops = RepetitionWatch()
        self._thinking_loops = RepetitionWatch()
        self.text = self._text.add
        self.thought = self._thinking.add

    @property
    def pieces(self) -> int:
        """Non-empty pieces seen, thinking included; never more than the generated tokens."""
        return len(self._text.parts) + len(self._thinking.parts)

    @property
    def partial_text(self) -> str:
        return "".join(self._text.parts)

    def finish(self, finish_reason: Literal["stop", "length"]) -> tuple[str, str]:
        """(answer, thinking) of a stream that ended well; raises BadAnswer where there is no
        answer.

        ``finish_reason`` is used in the message only: whether a cut answer is acceptable is decided
        by the caller.
        """
        self._text.inspect()
        self._thinking.inspect()
        inline, answer = split_thinking(_whole(self._text.parts))
        thinking = "\n".join(filter(None, (_whole(self._thinking.parts), inline)))
        if is_blank(answer):
            if is_blank(thinking):
                raise errors.BlankAnswer("the model answered nothing that can be read")
            cut = " and then ran out of tokens" if finish_reason == "length" else ""
            raise errors.ThinkingOnly(f"the model thought{cut} but gave no answer")
        if is_echo(answer, self._prompt):
            raise errors.EchoAnswer("the answer is the prompt", partial_text=answer)
        return answer, thinking

    def _inspect_text(self, text: str) -> None:
        self._limit_length()
        if self._echo.feed(text):
            raise errors.EchoAnswer("the answer repeats the prompt word for word")
        self._limit_loops(self._text_loops, text)

    def _inspect_thinking(self, text: str) -> None:
        self._limit_length()
        self._limit_loops(self._thinking_loops, text)

    def _limit_length(self) -> None:
        chars = self._text.chars + self._thinking.chars
        if is_runaway(tokens=self.pieces, chars=chars, max_tokens=self._max_tokens):
            raise errors.RunawayAnswer(f"the server ignores the limit of {self._max_tokens} tokens")

    def _limit_loops(self, watch: RepetitionWatch, text: str) -> None:
        reason = watch.feed(text)
        if reason:
            raise errors.RepetitionAnswer(f"generation loops: {reason}")


class _Channel:
    """Text of one kind, answer or thinking. Inspected whenever STEP_CHARS more have arrived."""

    __slots__ = ("_first_new", "_inspect", "_pending_chars", "chars", "parts")

    def __init__(self, inspect: Callable[[str], None]) -> None:
        self.parts: list[str] = []
        self.chars = 0
        self._inspect = inspect
        self._first_new = 0
        self._pending_chars = 0

    def add(self, piece: str) -> None:
        self.parts.append(piece)
        self._pending_chars += len(piece)
        if self._pending_chars >= STEP_CHARS:
            self.inspect()

    def inspect(self) -> None:
        if self._pending_chars == 0:
            return
        text = "".join(self.parts[self._first_new :])
        self._first_new = len(self.parts)
        self.chars += self._pending_chars
        self._pending_chars = 0
        for start in range(0, len(text), STEP_CHARS):
            self._inspect(text[start : start + STEP_CHARS])


def _whole(parts: list[str]) -> str:
    """The whole text; surrogate halves from two pieces are joined. Raises StreamBroken for a lone
    half, which can be neither stored nor sent."""
    text = "".join(parts)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        pass
    else:
        return text
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError as exc:
        raise errors.StreamBroken("the answer holds half a character") from exc
