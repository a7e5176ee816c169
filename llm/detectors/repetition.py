"""Detects generation loops: white space, the same text, the same lines, the same phrases in any
order.

The thresholds are generous on purpose: good answers contain rulers, tables of zeros and lists of
similar rows. A late detection costs a few hundred tokens, a false alarm costs the answer.
"""

from __future__ import annotations

import re
from collections import deque

from llm.detectors.ngrams import phrase_loop

WINDOW_CHARS = 8192
STEP_CHARS = 256
PHRASES_STEP_CHARS = 2048

MAX_SPACE_RUN_CHARS = 600
MIN_LOOP_CHARS = 2000
MIN_SENTENCE_LOOP_CHARS = 1000
SENTENCE_CHARS = 40
MIN_SENTENCE_LETTERS = 25
MIN_REPEATS = 8
MIN_LONG_REPEATS = 5
LONG_PERIOD_CHARS = 400

NEEDLE_CHARS = 32
MAX_CANDIDATES = 12

LINE_LETTERS = 25
LINE_REPEATS = 12
MAX_LINE_CYCLE = 4

INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u2800\u3164\x00"
_LIST_MARK = re.compile(r"^\s*(?:[-*•]\s*)?(?:\(?\d{1,6}[.):]\s*)?")


def repetition(text: str) -> str | None:
    """Why ``text`` is a loop, or None."""
    watch = RepetitionWatch()
    for start in range(0, len(text), STEP_CHARS):
        reason = watch.feed(text[start : start + STEP_CHARS])
        if reason:
            return reason
    return None


class RepetitionWatch:
    """Checks a stream. Feed it pieces of a few hundred characters: the cost per character is
    constant."""

    def __init__(self) -> None:
        self._tail = ""
        self._spaces = 0
        self._lines = _LineLoops()
        self._until_phrases = PHRASES_STEP_CHARS

    def feed(self, text: str) -> str | None:
        """Add a piece; returns the reason once the text loops."""
        if not text:
            return None
        self._tail = (self._tail + text)[-WINDOW_CHARS:]
        if self._space_run(text) > MAX_SPACE_RUN_CHARS:
            return f"more than {MAX_SPACE_RUN_CHARS} characters of white space in a row"
        return _periodic(self._tail) or self._lines.feed(text) or self._phrases(text)

    def _phrases(self, text: str) -> str | None:
        self._until_phrases -= len(text)
        if self._until_phrases > 0 or len(self._tail) < WINDOW_CHARS:
            return None
        self._until_phrases = PHRASES_STEP_CHARS
        return phrase_loop(self._tail)

    def _space_run(self, text: str) -> int:
        visible = text.rstrip(INVISIBLE).rstrip().rstrip(INVISIBLE)
        if visible.strip(INVISIBLE + " \t\r\n"):
            self._spaces = len(text) - len(visible)
        else:
            self._spaces += len(text)
        return self._spaces


class _LineLoops:
    """The same line, or the same few lines, repeated; list numbers are ignored."""

    def __init__(self) -> None:
        self._rest = ""
        self._recent: deque[str] = deque(maxlen=MAX_LINE_CYCLE)
        self._runs = [0] * (MAX_LINE_CYCLE + 1)

    def feed(self, text: str) -> str | None:
        *lines, self._rest = (self._rest + text)[-WINDOW_CHARS:].split("\n")
        for line in lines:
            reason = self._line(line)
            if reason:
                return reason
        return None

    def _line(self, line: str) -> str | None:
        if not line.strip():
            return None
        body = _LIST_MARK.sub("", line.rstrip(), count=1)
        for cycle in range(1, len(self._recent) + 1):
            same = self._recent[-cycle] == body
            self._runs[cycle] = self._runs[cycle] + 1 if same else 0
            if self._runs[cycle] >= (LINE_REPEATS - 1) * cycle and self._is_prose(cycle, body):
                return f"the same {cycle} line(s) {LINE_REPEATS} times in a row"
        self._recent.append(body)
        return None

    def _is_prose(self, cycle: int, body: str) -> bool:
        lines = [*self._recent, body][-cycle:]
        letters = sum(_letters(line) for line in lines)
        return letters >= LINE_LETTERS * cycle and any(" " in line.strip() for line in lines)


def _periodic(tail: str) -> str | None:
    """Does the text end in enough repeats of one period? Candidate periods are the distances to
    earlier occurrences of its last characters."""
    if len(tail) < MIN_SENTENCE_LOOP_CHARS:
        return None
    needle = tail[-NEEDLE_CHARS:]
    end = len(tail) - 1
    for _ in range(MAX_CANDIDATES):
        found = tail.rfind(needle, 0, end)
        if found < 0:
            return None
        period = len(tail) - NEEDLE_CHARS - found
        length = _loop_chars(period, tail[-period:])
        if length <= len(tail) and tail[-length:-period] == tail[-length + period :]:
            return f"the same {period} characters {length // period} times in a row"
        end = found + NEEDLE_CHARS - 1
    return None


def _loop_chars(period: int, unit: str) -> int:
    """The length from which a run with this period counts as a loop."""
    if period >= LONG_PERIOD_CHARS:
        return period * MIN_LONG_REPEATS
    if period >= SENTENCE_CHARS and _letters(unit) >= MIN_SENTENCE_LETTERS:
        return max(MIN_SENTENCE_LOOP_CHARS, period * MIN_REPEATS)
    return max(MIN_LOOP_CHARS, period * MIN_REPEATS)


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))
