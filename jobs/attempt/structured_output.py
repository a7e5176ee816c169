"""Structured answers: extracts the JSON from a model's text, and lets the model correct it once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jobs.attempt.processors.base import CallModel
from jobs.policy.validation.structure import bare_json, schema_fault
from jobs.policy.validation.types import JUDGE_SECONDS
from jobs.process.clock import passed
from llm.types import Completion, Message

REPAIR_STEP = "repair"


class StructuredCalls:
    """A `CallModel` whose answers to a schema are bare JSON where possible.

    An answer that does not fit the schema is sent back once with the validator's message. If the
    correction does not fit either, it is returned unchanged and the review rejects it. ``notes``
    list the corrections.
    """

    def __init__(self, call: CallModel) -> None:
        self._call = call
        self.notes: tuple[str, ...] = ()

    def __call__(
        self,
        messages: tuple[Message, ...],
        *,
        max_tokens: int,
        response_schema: Mapping[str, Any] | None = None,
        step: str,
    ) -> Completion:
        completion = self._call(
            messages, max_tokens=max_tokens, response_schema=response_schema, step=step
        )
        if response_schema is None:
            return completion
        completion = _bare(completion, response_schema)
        fault = schema_fault(completion.text, response_schema, abandoned=passed(JUDGE_SECONDS))
        if fault is None or completion.finish_reason == "length":
            return completion
        self.notes += (f"the answer was sent back once: {fault}",)
        repaired = self._call(
            (*messages, Message("assistant", completion.text), Message("user", _request(fault))),
            max_tokens=max_tokens,
            response_schema=response_schema,
            step=f"{step}/{REPAIR_STEP}",
        )
        return _bare(repaired, response_schema)


def _bare(completion: Completion, schema: Mapping[str, Any]) -> Completion:
    text = bare_json(completion.text, schema, abandoned=passed(JUDGE_SECONDS))
    return replace(completion, text=text)


def _request(fault: str) -> str:
    return (
        f"This answer is not valid against the JSON schema: {fault}. "
        "Write the whole corrected JSON value and nothing else."
    )
