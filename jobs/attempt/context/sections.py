"""Selects the sections of a text that contain the keywords, within a token budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

LINES_BEFORE = 12
LINES_AFTER = 24
MAX_LINE_CHARS = 1000
# A longer text cannot fit, so it is not even estimated.
MOST_CHARS_PER_TOKEN = 8
_CUT = " […]"

Estimate = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Section:
    """Lines ``first`` to ``last`` of a file, counted from 1."""

    first: int
    last: int
    text: str
    tokens: int


def relevant(
    text: str, keywords: Sequence[str], *, budget_tokens: int, estimate: Estimate
) -> tuple[Section, ...]:
    """Sections in the order of the file, at most ``budget_tokens`` together.

    A text that fits is taken whole. Otherwise every line with a keyword is taken with its
    neighbours, and overlapping ranges are joined; sections with more distinct keywords come first.
    Without a match, the beginning of the text is taken.
    """
    whole = _CostedLines(text.split("\n"), estimate)
    fitting = whole.section(0, len(whole.lines), budget_tokens)
    if fitting is not None:
        return (fitting,)
    wanted = [keyword.casefold() for keyword in keywords if keyword.strip()]
    page = _CostedLines([_shortened(line, wanted) for line in whole.lines], estimate)
    windows = _windows(page.lines, wanted) or [(0, len(page.lines), 0)]
    chosen = _fill(page, windows, budget_tokens)
    return tuple(sorted(chosen, key=lambda section: section.first))


class _CostedLines:
    """Lines, and the token cost of ranges of them."""

    def __init__(self, lines: Sequence[str], estimate: Estimate) -> None:
        self.lines = lines
        self._estimate = estimate
        self._ends = list(accumulate((len(line) + 1 for line in lines), initial=0))

    def section(self, start: int, end: int, budget_tokens: int) -> Section | None:
        """The lines as a section, or None where they do not fit."""
        if self._ends[end] - self._ends[start] > MOST_CHARS_PER_TOKEN * max(0, budget_tokens):
            return None
        text = "\n".join(self.lines[start:end])
        tokens = self._estimate(text)
        return Section(start + 1, end, text, tokens) if tokens <= budget_tokens else None

    def beginning(self, start: int, end: int, budget_tokens: int) -> Section | None:
        """The longest beginning of the range that fits, found by bisection."""
        best = None
        fits, too_long = start, end + 1
        while too_long - fits > 1:
            middle = (fits + too_long) // 2
            section = self.section(start, middle, budget_tokens)
            if section is None:
                too_long = middle
            else:
                best, fits = section, middle
        return best


class _Range(NamedTuple):
    start: int
    end: int
    hit: int
    found: frozenset[str]
    hits: int


def _windows(lines: Sequence[str], wanted: Sequence[str]) -> list[tuple[int, int, int]]:
    """Joined ranges of lines around matches, each with its first match; most keywords first."""
    hits = [
        (index, found)
        for index, line in enumerate(map(str.casefold, lines))
        if (found := frozenset(word for word in wanted if word in line))
    ]
    ranges: list[_Range] = []
    for index, found in hits:
        start, end = max(0, index - LINES_BEFORE), min(len(lines), index + LINES_AFTER + 1)
        if ranges and start <= ranges[-1].end:
            last = ranges[-1]
            ranges[-1] = _Range(last.start, end, last.hit, last.found | found, last.hits + 1)
        else:
            ranges.append(_Range(start, end, index, found, 1))
    ranges.sort(key=lambda r: (-len(r.found), -r.hits / (r.end - r.start), r.start))
    return [(r.start, r.end, r.hit) for r in ranges]


def _fill(
    page: _CostedLines, windows: Sequence[tuple[int, int, int]], budget_tokens: int
) -> list[Section]:
    chosen: list[Section] = []
    left = budget_tokens
    for start, end, _ in windows:
        section = page.section(start, end, left)
        if section is not None:
            chosen.append(section)
            left -= section.tokens
    if chosen:
        return chosen
    start, end, hit = windows[0]
    for begin in (start, hit):
        cut = page.beginning(begin, end, budget_tokens)
        if cut is not None and cut.last > hit:
            return [cut]
    return []


def _shortened(line: str, wanted: Sequence[str]) -> str:
    if len(line) <= MAX_LINE_CHARS:
        return line
    places = [found for word in wanted if (found := line.casefold().find(word)) >= 0]
    start = max(0, min(places) - MAX_LINE_CHARS // 2) if places else 0
    return (_CUT if start else "") + line[start : start + MAX_LINE_CHARS] + _CUT
