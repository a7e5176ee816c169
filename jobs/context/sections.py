"""The sections of a text that speak of the keywords, within a budget of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

LINES_BEFORE = 12
LINES_AFTER = 24
MAX_LINE_CHARS = 1000
_CUT = " […]"

Estimate = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Section:
    """Lines ``first`` to ``last`` of a file, counted from 1."""

    first: int
    last: int
    text: str
    tokens: int


class _Range(NamedTuple):
    start: int
    end: int
    hit: int
    found: frozenset[str]
    hits: int


def relevant(
    text: str, keywords: Sequence[str], *, budget_tokens: int, estimate: Estimate
) -> tuple[Section, ...]:
    """Sections in the order of the file, at most ``budget_tokens`` together.

    A text that fits is taken whole. Otherwise every line with a keyword is taken with the lines
    around it; what overlaps is joined; sections with more different keywords come first. Where no
    keyword is found, the beginning of the text is taken.
    """
    lines = text.split("\n")
    whole = _section(lines, 0, len(lines), estimate)
    if whole.tokens <= budget_tokens:
        return (whole,)
    wanted = [keyword.casefold() for keyword in keywords if keyword.strip()]
    lines = [_shortened(line, wanted) for line in lines]
    windows = _windows(lines, wanted) or [(0, len(lines), 0)]
    chosen = _fill(lines, windows, budget_tokens, estimate)
    return tuple(sorted(chosen, key=lambda section: section.first))


def _windows(lines: Sequence[str], wanted: Sequence[str]) -> list[tuple[int, int, int]]:
    """Joined ranges of lines around hits with their first hit, the richest in keywords first."""
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
    lines: Sequence[str],
    windows: Sequence[tuple[int, int, int]],
    budget_tokens: int,
    estimate: Estimate,
) -> list[Section]:
    chosen: list[Section] = []
    left = budget_tokens
    for start, end, _ in windows:
        section = _section(lines, start, end, estimate)
        if section.tokens <= left:
            chosen.append(section)
            left -= section.tokens
    if chosen:
        return chosen
    start, end, hit = windows[0]
    for begin in (start, hit):
        cut = _beginning(lines, begin, end, budget_tokens, estimate)
        if cut is not None and cut.last > hit:
            return [cut]
    return []


def _beginning(
    lines: Sequence[str], start: int, end: int, budget_tokens: int, estimate: Estimate
) -> Section | None:
    """The longest beginning of the range that fits, found by halving."""
    low, high = start, end
    while high - low > 1:
        middle = (low + high) // 2
        if _section(lines, start, middle, estimate).tokens <= budget_tokens:
            low = middle
        else:
            high = middle
    return _section(lines, start, low, estimate) if low > start else None


def _section(lines: Sequence[str], start: int, end: int, estimate: Estimate) -> Section:
    text = "\n".join(lines[start:end])
    return Section(start + 1, end, text, estimate(text))


def _shortened(line: str, wanted: Sequence[str]) -> str:
    if len(line) <= MAX_LINE_CHARS:
        return line
    places = [found for word in wanted if (found := line.casefold().find(word)) >= 0]
    start = max(0, min(places) - MAX_LINE_CHARS // 2) if places else 0
    return (_CUT if start else "") + line[start : start + MAX_LINE_CHARS] + _CUT
