"""Has a second model review an answer, for tasks that require it."""

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
    """``verdict``, lowered by the second model's opinion.

    ``call`` should reach another model than the one that answered. A rejected answer needs no
    opinion, and if the second model fails, the rules alone decide. Raises only `CallCancelled`.
    """
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
