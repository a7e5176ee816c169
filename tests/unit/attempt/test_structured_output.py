from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import pytest

from jobs.attempt.structured_output import StructuredCalls
from jobs.policy.validation.structure import bare_json
from llm.types import Completion, Message

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
GOOD = '{"city": "Paris"}'
TASK = (Message("user", "Name the city."),)


class Model:
    """Answers one text after the other, and keeps what was sent."""

    def __init__(self, *texts: str, finish_reason: Literal["stop", "length"] = "stop") -> None:
        self.texts = list(texts)
        self.finish_reason = finish_reason
        self.calls: list[tuple[tuple[Message, ...], str]] = []

    def __call__(
        self,
        messages: tuple[Message, ...],
        *,
        max_tokens: int,
        response_schema: Mapping[str, Any] | None = None,
        step: str,
    ) -> Completion:
        self.calls.append((messages, step))
        return Completion(self.texts.pop(0), "m", "b", self.finish_reason)


def ask(model: Model, schema: Mapping[str, Any] | None = SCHEMA) -> tuple[str, StructuredCalls]:
    calls = StructuredCalls(model)
    completion = calls(TASK, max_tokens=50, response_schema=schema, step="answer")
    return completion.text, calls


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"\n{GOOD}\n",
        f"```json\n{GOOD}\n```",
        f"Here it is:\n\n```\n{GOOD}\n```\nAnything else?",
        f"The answer is {GOOD}. I hope that helps!",
        f"In [1] they say: {GOOD}",
    ],
)
def test_fence_and_prose_around_the_json_are_dropped(text: str) -> None:
    found, calls = ask(Model(text))

    assert found == GOOD
    assert calls.notes == ()


def test_an_answer_that_does_not_fit_goes_back_once_with_the_validators_words() -> None:
    model = Model('{"town": "Paris"}', f"Sorry! {GOOD}")

    found, calls = ask(model)

    (_, step), (sent, second_step) = model.calls
    assert found == GOOD
    assert (step, second_step) == ("answer", "answer/repair")
    assert sent[:2] == (*TASK, Message("assistant", '{"town": "Paris"}'))
    assert "'city' is a required property" in sent[2].content
    assert len(calls.notes) == 1


def test_what_does_not_fit_the_second_time_is_left_to_the_judge() -> None:
    found, _ = ask(Model("I cannot say.", "Really, I cannot."))

    assert found == "Really, I cannot."


def test_an_answer_that_the_token_limit_cut_is_not_sent_back() -> None:
    model = Model('{"city": "Par', finish_reason="length")

    ask(model)

    assert len(model.calls) == 1


def test_prose_without_a_schema_stays_as_it_is() -> None:
    found, _ = ask(Model(f"See {GOOD}"), schema=None)

    assert found == f"See {GOOD}"


def test_a_long_text_full_of_brackets_is_read_in_bounded_time() -> None:
    text = "[" * 50_000

    assert bare_json(text, SCHEMA) == text


def test_the_value_that_fits_wins_over_one_that_is_only_json() -> None:
    wanted = {"city": "Rome"}

    assert json.loads(bare_json(f'{{"a": 1}} or rather {json.dumps(wanted)}', SCHEMA)) == wanted
