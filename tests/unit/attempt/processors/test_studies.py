from __future__ import annotations

from collections.abc import Callable

import pytest

from jobs.attempt.processors.base import Processor, TaskContext
from jobs.attempt.processors.business_simulation import (
    BUSINESS_SIMULATION,
    BusinessSimulationProcessor,
)
from jobs.attempt.processors.market_study import (
    DEEP_MARKET_STUDY,
    MARKET_STUDY,
    MarketStudyProcessor,
)
from jobs.attempt.processors.steps import Study, spoken_language
from jobs.policy.metadata import TaskOptions
from llm.errors import BadAnswer, CallCancelled, StallTimeout
from tests.unit.attempt.processors.fakes import FakeModel, KeptSteps

CASES: list[tuple[Callable[[], Processor], Study, str]] = [
    (MarketStudyProcessor, MARKET_STUDY, "dashboard_scout"),
    (MarketStudyProcessor, MARKET_STUDY, "scout_orchestrator"),
    (MarketStudyProcessor, DEEP_MARKET_STUDY, "enhanced_scout_orchestrator"),
    (BusinessSimulationProcessor, BUSINESS_SIMULATION, "dashboard_simulator"),
]


def a_task(source: str, text: str = "A delivery service for farm food") -> TaskContext:
    return TaskContext("1", "Study", text, options=TaskOptions(source=source))


@pytest.mark.parametrize(("processor", "study", "source"), CASES)
def test_every_facet_is_asked_once_and_then_brought_together(
    processor: Callable[[], Processor],
    study: Study,
    source: str,
    model: FakeModel,
    checkpoint: KeptSteps,
) -> None:
    result = processor().run(a_task(source), model, checkpoint=checkpoint)

    keys = [f"{study.name}/{facet.key}" for facet in study.facets]
    assert model.steps == [*keys, f"{study.name}/synthesis"]
    assert list(checkpoint.saved) == keys
    assert result.processor == study.name
    assert result.notes == ()
    synthesis = model.prompt_of(f"{study.name}/synthesis")
    assert all(text in synthesis for text in checkpoint.saved.values())


@pytest.mark.parametrize(("processor", "study", "source"), CASES)
def test_progress_counts_every_step(
    processor: Callable[[], Processor],
    study: Study,
    source: str,
    model: FakeModel,
    checkpoint: KeptSteps,
) -> None:
    processor().run(a_task(source), model, checkpoint=checkpoint)

    total = len(study.facets) + 1
    assert [(done, of) for done, of, _ in checkpoint.shown] == [
        (done, total) for done in range(total + 1)
    ]
    assert checkpoint.shown[0][2] == study.facets[0].title["en"]


def test_a_study_that_broke_off_goes_on_where_it_stood(
    model: FakeModel, checkpoint: KeptSteps
) -> None:
    model.answers["market_study/customers"] = StallTimeout("silent")
    with pytest.raises(StallTimeout):
        MarketStudyProcessor().run(a_task("dashboard_scout"), model, checkpoint=checkpoint)
    again = FakeModel()

    result = MarketStudyProcessor().run(a_task("dashboard_scout"), again, checkpoint=checkpoint)

    assert again.steps == [
        "market_study/customers",
        "market_study/pricing",
        "market_study/risks",
        "market_study/synthesis",
    ]
    assert result.notes == ("2 steps were kept from before",)


def test_a_facet_that_the_judge_rejects_is_not_kept(
    model: FakeModel, checkpoint: KeptSteps
) -> None:
    model.answers["market_study/competitors"] = "I'm sorry, but I can't help with that."

    with pytest.raises(BadAnswer, match="step competitors: the answer refuses"):
        MarketStudyProcessor().run(a_task("dashboard_scout"), model, checkpoint=checkpoint)

    assert list(checkpoint.saved) == ["market_study/market"]


def test_a_lost_lease_stops_the_study_at_its_next_step(
    model: FakeModel, checkpoint: KeptSteps
) -> None:
    def lose(step: str) -> None:
        raise CallCancelled("lease lost")

    checkpoint.on_save = lose

    with pytest.raises(CallCancelled):
        MarketStudyProcessor().run(a_task("dashboard_scout"), model, checkpoint=checkpoint)

    assert model.steps == ["market_study/market"]


def test_a_russian_idea_is_studied_in_russian(model: FakeModel, checkpoint: KeptSteps) -> None:
    task = a_task("dashboard_simulator", "Сервис доставки фермерских продуктов")
    model.usual = "Здравый ответ, в котором сказано нечто своё о самом деле, номер {}."

    BusinessSimulationProcessor().run(task, model, checkpoint=checkpoint)

    assert "Проведите SWOT-анализ" in model.prompt_of("business_simulation/swot")
    assert "Сведите эти результаты" in model.prompt_of("business_simulation/synthesis")


def test_a_synthesis_keeps_within_the_models_context(
    model: FakeModel, checkpoint: KeptSteps
) -> None:
    keys = [f"market_study/{facet.key}" for facet in MARKET_STUDY.facets]
    checkpoint.saved = dict.fromkeys(keys, "finding number one. " * 3000)
    task = a_task("dashboard_scout")

    result = MarketStudyProcessor().run(task, model, checkpoint=checkpoint)

    assert len(result.prompt) < 4 * task.context_tokens
    assert sum("was cut to fit" in note for note in result.notes) == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Farm food", "en"), ("Фермерские продукты", "ru"), ("SaaS для CRM и ERP", "ru"), ("", "en")],
)
def test_the_language_of_a_task_is_read_off_its_letters(text: str, expected: str) -> None:
    assert spoken_language(text) == expected
