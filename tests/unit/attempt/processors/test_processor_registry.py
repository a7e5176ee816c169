from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from jobs.attempt.processors.base import (
    CallModel,
    Checkpoint,
    Processor,
    ProcessorResult,
    TaskContext,
)
from jobs.attempt.processors.registry import GROUP, built_in, load
from jobs.policy.metadata import Delegate, TaskOptions
from tests.unit.attempt.processors.fakes import FakeModel, KeptSteps


class Haiku:
    name = "haiku"

    def run(self, task: TaskContext, call: CallModel, *, checkpoint: Checkpoint) -> ProcessorResult:
        return ProcessorResult("five seven and five", self.name)


HAIKU = Haiku()
NO_PROCESSOR = 17


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, f"{__name__}:{value}", GROUP)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (None, "expert"),
        ("dashboard", "expert"),
        ("dashboard_scout", "market_study"),
        ("scout_orchestrator", "market_study"),
        ("enhanced_scout_orchestrator", "market_study"),
        ("dashboard_simulator", "business_simulation"),
    ],
)
def test_the_source_of_a_task_chooses_its_processor(source: str | None, name: str) -> None:
    choice = built_in().choose(TaskOptions(source=source))

    assert choice.processor.name == name
    assert choice.reason.startswith(name)


def test_delegation_comes_first_and_falls_back_to_the_sources_own_processor(
    model: FakeModel, checkpoint: KeptSteps
) -> None:
    options = TaskOptions(source="dashboard_simulator", delegate=Delegate.VICTORIA)
    choice = built_in().choose(options)

    result = choice.processor.run(
        TaskContext("1", "An idea", "A shop", options=options), model, checkpoint=checkpoint
    )

    assert choice.processor.name == "delegation"
    assert result.processor == "business_simulation"


@pytest.mark.parametrize("value", ["Haiku", "HAIKU"])
def test_others_add_a_processor_by_an_entry_point(
    value: str, model: FakeModel, checkpoint: KeptSteps
) -> None:
    registry = load(entries=[entry("Poems", value)])

    choice = registry.choose(TaskOptions(source="poems"))

    result = choice.processor.run(TaskContext("1", "t", "d"), model, checkpoint=checkpoint)
    assert result.text == "five seven and five"
    assert registry.problems == ()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("Missing", "AttributeError"),
        ("NO_PROCESSOR", "is no processor"),
        ("entry", "TypeError"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named_and_its_tasks_go_to_the_expert(
    value: str, problem: str
) -> None:
    registry = load(entries=[entry("poems", value), entry("haiku", "Haiku")])

    assert problem in registry.problems[0]
    assert registry.choose(TaskOptions(source="poems")).processor.name == "expert"
    assert registry.choose(TaskOptions(source="haiku")).processor.name == "haiku"


def test_the_processor_of_the_documentation_works(model: FakeModel, checkpoint: KeptSteps) -> None:
    page = (Path(__file__).parents[4] / "docs" / "processors.md").read_text(encoding="utf-8")
    namespace: dict[str, Any] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], namespace)
    haiku: Processor = namespace["Haiku"]()

    first = haiku.run(TaskContext("1", "t", "autumn"), model, checkpoint=checkpoint)
    again = haiku.run(TaskContext("1", "t", "autumn"), model, checkpoint=checkpoint)

    assert model.steps == ["draft", "polish", "polish"]
    assert first.processor == again.processor == "haiku"


def test_loading_without_entries_reads_the_installed_packages() -> None:
    assert load().problems == ()
