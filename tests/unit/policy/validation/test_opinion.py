from __future__ import annotations

import pytest

from jobs.policy.validation.opinion import EXCERPT_CHARS, opinion_messages, with_opinion
from jobs.policy.validation.types import Answer, Request, Verdict

GOOD = Verdict(ok=True, score=0.9, parts={"present": 1.0})


def test_a_low_opinion_rejects_what_the_rules_accepted() -> None:
    found = with_opinion(GOOD, '{"score": 0.2, "reason": "it is about another product"}')

    assert not found.ok
    assert found.score == pytest.approx(0.18)
    assert found.code == "opinion"
    assert found.reason == "the second opinion gives 0.20: it is about another product"


def test_a_high_opinion_keeps_the_answer_and_is_one_of_its_parts() -> None:
    found = with_opinion(GOOD, '```json\n{"score": 1, "reason": "fine"}\n```')

    assert found.ok
    assert found.parts == {"present": 1.0, "opinion": 1.0}


def test_an_opinion_never_lifts_a_rejected_answer() -> None:
    rejected = Verdict(ok=False, score=0.1, code="echo", reason="an echo")

    found = with_opinion(rejected, '{"score": 1, "reason": "fine"}')

    assert not found.ok
    assert found.code == "echo"


@pytest.mark.parametrize(
    "reply", ["", "I like it", '{"score": 7, "reason": ""}', '{"score": NaN, "reason": ""}', "[1]"]
)
def test_an_opinion_that_cannot_be_read_changes_nothing(reply: str) -> None:
    found = with_opinion(GOOD, reply)

    assert (found.ok, found.score, found.parts) == (True, 0.9, {"present": 1.0})
    assert "could not be read" in found.reason


def test_long_texts_are_shown_by_their_ends() -> None:
    text = "a" * EXCERPT_CHARS + "m" * 1000 + "z" * EXCERPT_CHARS

    shown = opinion_messages(Answer(text), Request("Explain."))[1].content

    assert "[… 1000 characters left out …]" in shown
    assert shown.endswith("z" * EXCERPT_CHARS)
