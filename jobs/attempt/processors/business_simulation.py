"""Analyses a business idea by several frameworks, then assesses it as a whole."""

from __future__ import annotations

from jobs.attempt.processors.base import CallModel, Checkpoint, ProcessorResult, TaskContext
from jobs.attempt.processors.steps import Facet, Study, run_study

_FRAMEWORKS = (
    Facet(
        "swot",
        {"en": "SWOT", "ru": "SWOT-анализ"},
        {
            "en": "Do a SWOT analysis of this idea: strengths, weaknesses, opportunities and "
            "threats, each with the reason why it matters here.",
            "ru": "Проведите SWOT-анализ этой идеи: сильные стороны, слабые стороны, возможности "
            "и угрозы, для каждого пункта укажите, почему он здесь важен.",
        },
    ),
    Facet(
        "five_forces",
        {"en": "Five forces", "ru": "Пять сил Портера"},
        {
            "en": "Apply Porter's five forces: rivalry, new entrants, substitutes, power of "
            "suppliers, power of buyers. Rate each low, medium or high and say why.",
            "ru": "Примените модель пяти сил Портера: соперничество, новые игроки, заменители, "
            "власть поставщиков, власть покупателей. Оцените каждую (низкая, средняя, высокая) и "
            "объясните.",
        },
    ),
    Facet(
        "canvas",
        {"en": "Business model", "ru": "Бизнес-модель"},
        {
            "en": "Fill in a business model canvas: segments, value, channels, relationships, "
            "revenue, key resources, activities, partners and costs.",
            "ru": "Заполните канву бизнес-модели: сегменты, ценность, каналы, отношения, доходы, "
            "ключевые ресурсы, действия, партнёры и затраты.",
        },
    ),
    Facet(
        "economics",
        {"en": "Unit economics", "ru": "Юнит-экономика"},
        {
            "en": "Work out the unit economics: price, variable cost, margin, cost to win a "
            "customer, lifetime value, break-even. State every assumption and show the sums.",
            "ru": "Рассчитайте юнит-экономику: цена, переменные затраты, маржа, стоимость "
            "привлечения, ценность клиента за всё время, точка безубыточности. Назовите все "
            "допущения и покажите вычисления.",
        },
    ),
    Facet(
        "scenarios",
        {"en": "Scenarios and a pre-mortem", "ru": "Сценарии и причины провала"},
        {
            "en": "Play through the first two years in a good, a likely and a bad scenario. Then "
            "assume that the idea has failed and give the most likely causes and early signs.",
            "ru": "Проиграйте первые два года в хорошем, вероятном и плохом сценарии. Затем "
            "допустите, что идея провалилась, и назовите вероятные причины и ранние признаки.",
        },
    ),
)
_SYNTHESIS = {
    "en": "Bring the results above together: a verdict (go, go with changes, or do not go) with "
    "its reasons, the assumptions on which it stands, the three experiments that would test them "
    "most cheaply, and a plan for the first ninety days.",
    "ru": "Сведите эти результаты воедино: вердикт (запускать, запускать с изменениями или не "
    "запускать) с обоснованием, допущения, на которых он держится, три самых дешёвых эксперимента "
    "для их проверки и план на первые девяносто дней.",
}

BUSINESS_SIMULATION = Study("business_simulation", _FRAMEWORKS, _SYNTHESIS)


class BusinessSimulationProcessor:
    """Source ``dashboard_simulator``."""

    name = "business_simulation"

    def run(self, task: TaskContext, call: CallModel, *, checkpoint: Checkpoint) -> ProcessorResult:
        return run_study(BUSINESS_SIMULATION, task, call, checkpoint=checkpoint)
