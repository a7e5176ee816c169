"""Reads the files that a task names, within limits; each refusal names its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.attempt.context.decoding import decoded
from jobs.attempt.context.safe_open import MAX_FILE_BYTES, FileRefused, read_inside
from jobs.attempt.context.sections import Section, relevant
from jobs.policy.tokens import estimate_tokens

MAX_FILES = 50
MAX_TOTAL_BYTES = 20 * 1024 * 1024
_LEAST_TOKENS = 32
_SECTION_TOKENS = 12


@dataclass(frozen=True, slots=True)
class UsedFile:
    """A file in the context; ``sections`` are (first, last) lines, counted from 1."""

    path: str
    sections: tuple[tuple[int, int], ...]
    whole: bool
    tokens: int


@dataclass(frozen=True, slots=True)
class RefusedFile:
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ContextResult:
    """``text`` holds every used file under a heading of its own, ready for a prompt."""

    text: str = ""
    used: tuple[UsedFile, ...] = ()
    refused: tuple[RefusedFile, ...] = ()
    tokens: int = 0


def gather(
    paths: Sequence[str],
    keywords: Sequence[str],
    *,
    roots: Sequence[Path],
    budget_tokens: int,
    max_file_bytes: int = MAX_FILE_BYTES,
) -> ContextResult:
    """Read ``paths`` inside ``roots`` and keep what fits ``budget_tokens``. Raises nothing.

    Files share the budget: what a small file does not need goes to those after it. Blocking, so
    call it in the thread of the task.
    """
    texts, refused = _texts(paths, roots, max_file_bytes)
    placed: dict[int, tuple[str, UsedFile]] = {}
    left = budget_tokens
    # The smallest first, so that the tokens they leave are known before large ones are cut.
    order = sorted(range(len(texts)), key=lambda index: (len(texts[index][1]), index))
    for position, index in enumerate(order):
        path, text = texts[index]
        result = _block(path, text, keywords, left // (len(order) - position))
        if isinstance(result, RefusedFile):
            refused.append(result)
            continue
        placed[index] = result
        left -= result[1].tokens
    return _result([placed[index] for index in sorted(placed)], refused)


def _result(
    placed: Sequence[tuple[str, UsedFile]], refused: Sequence[RefusedFile]
) -> ContextResult:
    used = tuple(file for _, file in placed)
    text = "\n\n".join(block for block, _ in placed)
    return ContextResult(text, used, tuple(refused), sum(file.tokens for file in used))


def _texts(
    paths: Sequence[str], roots: Sequence[Path], max_bytes: int
) -> tuple[list[tuple[str, str]], list[RefusedFile]]:
    texts: list[tuple[str, str]] = []
    refused: list[RefusedFile] = []
    distinct = list(dict.fromkeys(paths))
    left_bytes = MAX_TOTAL_BYTES
    for path in distinct[:MAX_FILES]:
        try:
            content = read_inside(path, roots=roots, max_bytes=min(max_bytes, left_bytes))
            left_bytes -= len(content)
            texts.append((path, decoded(content)))
        except FileRefused as refusal:
            refused.append(RefusedFile(path, str(refusal)))
    refused.extend(
        RefusedFile(path, f"is beyond the first {MAX_FILES} files") for path in distinct[MAX_FILES:]
    )
    return texts, refused


def _block(
    path: str, text: str, keywords: Sequence[str], budget_tokens: int
) -> tuple[str, UsedFile] | RefusedFile:
    if not text.strip():
        return RefusedFile(path, "is empty")
    room = budget_tokens - estimate_tokens(path) - _LEAST_TOKENS
    sections = relevant(text, keywords, budget_tokens=room, estimate=_fenced_tokens)
    if not sections:
        return RefusedFile(path, f"does not fit: {max(0, budget_tokens)} tokens are left for it")
    line_count = text.count("\n") + 1
    whole = sections[0].first == 1 and sections[0].last == line_count
    block = _framed(path, sections, whole=whole, line_count=line_count)
    ranges = tuple((section.first, section.last) for section in sections)
    return block, UsedFile(path, ranges, whole, estimate_tokens(block))


def _fenced_tokens(text: str) -> int:
    """The tokens of a section in its fence, by the larger of two estimates."""
    return max(estimate_tokens(text), estimate_tokens(f"```\n{text}\n```")) + _SECTION_TOKENS


def _framed(path: str, sections: Sequence[Section], *, whole: bool, line_count: int) -> str:
    fence = _fence(sections)
    if whole:
        return f"### {path}\n{fence}\n{sections[0].text}\n{fence}"
    parts = [
        f"Lines {section.first}-{section.last}:\n{fence}\n{section.text}\n{fence}"
        for section in sections
    ]
    return f"### {path} (parts of {line_count} lines)\n" + "\n".join(parts)


def _fence(sections: Sequence[Section]) -> str:
    fence = "```"
    while any(fence in section.text for section in sections):
        fence += "`"
    return fence
