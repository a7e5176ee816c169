"""Asks another model whether an answer may stand, for tasks that want it."""

from __future__ import annotations

from dataclasses import replace

from jobs.attempt.processors.base import CallModel
from jobs.policy.validation.opinion import (
    MAX_TOKENS,
    OPINION_SCHEMA,
    opinion_messages,
    with_opinion,
)
from jobs.policy.validation.types import Answer, Request, Verdict
from llm.errors import CallCancelled, LLMError


def second_opinion(
    verdict: Verdict, answer: Answer, request: Request, *, call: CallModel
) -> Verdict:
    """``verdict`` lowered by what another model thinks. ``call`` should reach another model than
    the one that answered. A rejected answer is not asked about, and a judge that is away changes
    nothing: the rules alone decide then. Raises only `CallCancelled`."""
    if not verdict.ok:
        return verdict
    try:
        reply = call(
            opinion_messages(answer, request),
            max_tokens=MAX_TOKENS,
            response_schema=OPINION_SCHEMA,
            step="second_opinion",
        )
    except CallCancelled:
        raise
    except LLMError as error:
        return replace(verdict, reason=f"no second opinion: {error}")
    return with_opinion(verdict, reply.text)
