"""A market study: its facets one by one, then a report."""

from __future__ import annotations

from jobs.attempt.processors.base import CallModel, Checkpoint, ProcessorResult, TaskContext
from jobs.attempt.processors.steps import Facet, Study, run_study

DEEP_SOURCE = "enhanced_scout_orchestrator"

_FACETS = (
    Facet(
        "market",
        {"en": "Market and trends", "ru": "Рынок и тенденции"},
        {
            "en": "Describe the size and growth of this market, its drivers and the trends of the "
            "next two to three years. Say which figures are estimates.",
            "ru": "Опишите объём и рост этого рынка, его движущие силы и тенденции ближайших "
            "двух-трёх лет. Укажите, какие цифры являются оценками.",
        },
    ),
    Facet(
        "competitors",
        {"en": "Competitors", "ru": "Конкуренты"},
        {
            "en": "Name the most important competitors and substitutes: what each offers, where "
            "each is strong and weak, and which gaps they leave.",
            "ru": "Назовите важнейших конкурентов и заменители: что предлагает каждый, в чём он "
            "силён и слаб и какие ниши остаются свободными.",
        },
    ),
    Facet(
        "customers",
        {"en": "Customers and needs", "ru": "Клиенты и потребности"},
        {
            "en": "Describe the customer segments, the need of each, how they decide and what "
            "keeps them from buying.",
            "ru": "Опишите сегменты клиентов, потребность каждого, как они принимают решение и "
            "что мешает им купить.",
        },
    ),
    Facet(
        "pricing",
        {"en": "Prices and channels", "ru": "Цены и каналы"},
        {
            "en": "Describe usual prices and ways to charge, and the channels by which customers "
            "are reached, with their cost.",
            "ru": "Опишите обычные цены и способы оплаты, а также каналы, через которые находят "
            "клиентов, и их стоимость.",
        },
    ),
    Facet(
        "risks",
        {"en": "Risks and barriers", "ru": "Риски и барьеры"},
        {
            "en": "Name the risks and barriers to entry, how likely and how grave each is, and "
            "what can be done about it.",
            "ru": "Назовите риски и барьеры входа, насколько каждый вероятен и тяжёл и что можно "
            "с ним сделать.",
        },
    ),
)
_DEEPER = (
    Facet(
        "regulation",
        {"en": "Regulation", "ru": "Регулирование"},
        {
            "en": "Name the laws, licences and standards that matter here and what they demand.",
            "ru": "Назовите важные здесь законы, лицензии и стандарты и то, чего они требуют.",
        },
    ),
    Facet(
        "technology",
        {"en": "Technology", "ru": "Технологии"},
        {
            "en": "Describe the technologies in use, what is about to change, and what has to be "
            "built and what can be bought.",
            "ru": "Опишите применяемые технологии, что вот-вот изменится, что придётся создавать "
            "самим, а что можно купить.",
        },
    ),
)
_SYNTHESIS = {
    "en": "Write the final report from the results above: a summary of three to five sentences, "
    "the findings that matter with their contradictions named, opportunities in order of "
    "attractiveness, risks, and recommended next steps. Add no figures that are not above.",
    "ru": "Напишите по этим результатам итоговый отчёт: краткое резюме из трёх-пяти предложений, "
    "главные выводы с названными противоречиями, возможности в порядке привлекательности, риски и "
    "рекомендуемые следующие шаги. Не добавляйте цифр, которых нет выше.",
}

MARKET_STUDY = Study("market_study", _FACETS, _SYNTHESIS)
DEEP_MARKET_STUDY = Study("market_study", _FACETS + _DEEPER, _SYNTHESIS)


class MarketStudyProcessor:
    """Sources ``dashboard_scout``, ``scout_orchestrator``; with two more facets for
    ``enhanced_scout_orchestrator``."""

    name = "market_study"

    def run(self, task: TaskContext, call: CallModel, *, checkpoint: Checkpoint) -> ProcessorResult:
        deep = task.options.source == DEEP_SOURCE
        study = DEEP_MARKET_STUDY if deep else MARKET_STUDY
        return run_study(study, task, call, checkpoint=checkpoint)
