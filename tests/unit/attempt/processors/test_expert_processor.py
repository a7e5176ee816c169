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
