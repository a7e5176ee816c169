from __future__ import annotations

from jobs.attempt.processors.base import TaskContext
from jobs.attempt.processors.expert import ExpertProcessor
from jobs.policy.metadata import TaskOptions
from tests.unit.attempt.processors.fakes import FakeModel, KeptSteps


def test_the_expert_answers_in_one_call_with_the_tasks_options(
    model: FakeModel, checkpoint: KeptSteps
) -> None:
    schema = {"type": "object"}
    task = TaskContext(
        "1",
        "Summarise",
        "Summarise the report",
        options=TaskOptions(response_schema=schema),
        context="### a.py",
        max_tokens=77,
    )

    result = ExpertProcessor().run(task, model, checkpoint=checkpoint)

    assert result.processor == "expert"
    assert result.text.startswith("A sound answer")
    assert result.completion is not None
    assert result.prompt == model.prompt_of("answer")
    assert "### a.py" in result.prompt
    assert model.calls[0]["max_tokens"] == 77
    assert model.calls[0]["schema"] == schema


def test_a_retry_after_a_cut_answer_asks_for_brevity_in_the_language_of_the_task(
    model: FakeModel, checkpoint: KeptSteps
) -> None:
    for text, asked_for in (("Describe the plan", "Answer briefly"), ("Опиши план", "кратко")):
        plain = ExpertProcessor().run(TaskContext("1", "", text), model, checkpoint=checkpoint)
        brief = ExpertProcessor().run(
            TaskContext("1", "", text, brief=True), model, checkpoint=checkpoint
        )

        assert asked_for not in plain.prompt
        assert brief.prompt.startswith(plain.prompt)
        assert asked_for in brief.prompt
