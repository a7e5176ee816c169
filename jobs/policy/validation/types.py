"""What a judge sees and says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from llm.types import Category

JUDGE_SECONDS = 10.0
"""Judging the longest answer that a server may send takes about so long."""
THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of a model. ``finish_reason`` is ``length`` where the token limit cut it."""

    text: str
    finish_reason: Literal["stop", "length"] = "stop"


@dataclass(frozen=True, slots=True)
class Request:
    """The request that an answer is judged against.

    ``prompt`` is the last user message as sent; ``task`` the person's own words within it (title
    and description), where files and earlier results are left out; empty means the prompt itself.
    ``language`` is ``en`` or ``ru`` where the creator requested one, None to read it off ``task``.
    ``abandoned`` is called between checks and during a long one; True: nobody waits for the
    verdict any more, or its time is up.
    """

    prompt: str
    task: str = ""
    category: Category = Category.DEFAULT
    language: str | None = None
    required_parts: tuple[str, ...] = ()
    response_schema: Mapping[str, Any] | None = None
    verbatim: bool = False
    abandoned: Callable[[], bool] | None = None

    @property
    def instruction(self) -> str:
        return self.task or self.prompt


@dataclass(frozen=True, slots=True)
class Finding:
    """One part's score from 0 (fails) to 1 (nothing to object), with code and reason below 1."""

    score: float
    code: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``score`` is the product of ``parts``; ``ok`` is a score of at least ``THRESHOLD``.

    ``code`` and ``reason`` name the weakest part of a rejected answer; an accepted one has the
    doubts about it as its ``reason``.
    """

    ok: bool
    score: float
    parts: Mapping[str, float] = field(default_factory=dict)
    code: str | None = None
    reason: str = ""
