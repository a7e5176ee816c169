from __future__ import annotations

import pytest

from jobs.attempt.processors.second_opinion import second_opinion
from jobs.policy.validation.types import Answer, Request, Verdict
from llm.errors import BackendUnreachable, CallCancelled
from tests.unit.attempt.processors.fakes import FakeModel

ANSWER, REQUEST = Answer("It plans."), Request("Explain the planner.")
GOOD = Verdict(ok=True, score=1.0)


def test_the_other_model_sees_task_and_answer_and_its_score_counts(model: FakeModel) -> None:
    model.answers["second_opinion"] = '{"score": 0.3, "reason": "too short"}'

    found = second_opinion(GOOD, ANSWER, REQUEST, call=model)

    assert not found.ok
    assert "Explain the planner." in model.prompt_of("second_opinion")
    assert "It plans." in model.prompt_of("second_opinion")
    assert model.calls[0]["schema"] is not None


def test_a_rejected_answer_is_not_asked_about(model: FakeModel) -> None:
    rejected = Verdict(ok=False, score=0.0, code="blank", reason="blank")

    assert second_opinion(rejected, ANSWER, REQUEST, call=model) is rejected
    assert model.calls == []


def test_a_judge_that_is_away_leaves_it_to_the_rules(model: FakeModel) -> None:
    model.answers["second_opinion"] = BackendUnreachable("refused")

    found = second_opinion(GOOD, ANSWER, REQUEST, call=model)

    assert found.ok
    assert found.reason == "no second opinion: refused"


def test_a_cancelled_task_is_not_judged(model: FakeModel) -> None:
    model.answers["second_opinion"] = CallCancelled("lease lost")

    with pytest.raises(CallCancelled):
        second_opinion(GOOD, ANSWER, REQUEST, call=model)
