"""Backlogs for the machines of ``tests/support/sites.toml``, with the times they take there."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from jobs.policy.estimation import LearningConfig, estimate
from jobs.policy.outcome import RetryConfig, backoff_seconds
from jobs.policy.priors import prior_for
from jobs.simulation.workload import Pair, VirtualBackend, VirtualModel, VirtualTask, Workload
from llm.catalog import parameters_in_name, rank
from llm.types import Category
from tests.support.sites import Site, read_sites

TASKS = 300
LEARNED_FROM = 60
"""Answers of each model before the run: what the plan's figures were learned from."""
MIX = {Category.FAST: 3, Category.DEFAULT: 4, Category.CODING: 2, Category.REASONING: 1}
ANSWER_TOKENS = {
    Category.FAST: 120, Category.DEFAULT: 350, Category.CODING: 500, Category.REASONING: 900,
}  # fmt: skip
"""Median tokens of an answer; their logarithms vary by ``ANSWER_SPREAD``."""
ANSWER_SPREAD = 0.6
PROMPT_TOKENS = (300, 4000)
FAILING_SHARE = 0.06
FAILING_AGAIN = 0.3
"""Of the first attempts, and of the second ones. Each waits its back-off, as where no other server
can take over."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class House:
    """Sites that serve one backlog. ``workload`` holds learned means and true task times."""

    name: str
    sites: tuple[Site, ...]
    workload: Workload


def houses(seed: int) -> list[House]:
    """All of them, with another backlog for each ``seed``."""
    by_house: dict[str, list[Site]] = {}
    for site in read_sites().values():
        by_house.setdefault(site.house, []).append(site)
    return [
        House(name, tuple(sites), _workload(name, sites, seed)) for name, sites in by_house.items()
    ]


def _workload(name: str, sites: Sequence[Site], seed: int) -> Workload:
    chance = random.Random(f"{name}/{seed}")
    places = {category: _places(sites, category) for category in MIX}
    tasks = tuple(_task(number, places, chance) for number in range(TASKS))
    used = sorted({pair for task in tasks for pair in task.service_seconds})
    by_name = {site.name: site for site in sites}
    return Workload(
        backends=tuple(
            VirtualBackend(
                site.name,
                slots=min(site.slots, site.limit),
                resident_models=site.residents,
                kind=site.kind,
                resident=site.models if site.resident else (),
            )
            for site in sites
        ),
        models=tuple(_model(by_name[pair[0]], pair, chance, places) for pair in used),
        tasks=tasks,
        name=name,
    )


def _places(sites: Sequence[Site], category: Category) -> list[tuple[Site, str]]:
    """The best model of each site for that work."""
    found = []
    for site in sites:
        names = rank(site.scanned).get(category) or rank(site.scanned)[Category.DEFAULT]
        found.append((site, names[0]))
    return found


def _task(
    number: int, places: dict[Category, list[tuple[Site, str]]], chance: random.Random
) -> VirtualTask:
    category = chance.choices(list(MIX), weights=list(MIX.values()))[0]
    prompt, answer = _sizes(category, chance)
    return VirtualTask(
        f"t{number:04}",
        {
            (site.name, model): seconds(site, model, prompt, answer)
            for site, model in places[category]
        },
        category=category,
        complexity=0.8 if category is Category.REASONING else 0.4,
        backoffs=_backoffs(chance),
    )


def _sizes(category: Category, chance: random.Random) -> tuple[float, float]:
    """Tokens of a prompt and of its answer."""
    low, high = (math.log(tokens) for tokens in PROMPT_TOKENS)
    answer = ANSWER_TOKENS[category] * math.exp(chance.gauss(0.0, ANSWER_SPREAD))
    return math.exp(chance.uniform(low, high)), answer


def seconds(site: Site, model: str, prompt: float, answer: float) -> float:
    """Of one answer while all slots are busy."""
    streams = min(site.slots, site.limit)
    decode = site.decode_rate(model, streams=streams)
    return prompt / site.prefill_rate(model) + answer / decode


def _backoffs(chance: random.Random) -> tuple[float, ...]:
    config = RetryConfig()
    waits: list[float] = []
    share = FAILING_SHARE
    while len(waits) < config.max_attempts - 1 and chance.random() < share:
        jitter = 1.0 + config.spread * chance.random()
        waits.append(backoff_seconds(len(waits), config) * jitter)
        share = FAILING_AGAIN
    return tuple(waits)


def _model(
    site: Site, pair: Pair, chance: random.Random, places: dict[Category, list[tuple[Site, str]]]
) -> VirtualModel:
    """Its means are learned, by category, from other answers than those of the backlog."""
    kinds = [category for category, at in places.items() if (site, pair[1]) in at]
    answers: dict[Category, list[tuple[datetime, float]]] = {kind: [] for kind in kinds}
    for number in range(LEARNED_FROM):
        kind = chance.choices(kinds, weights=[MIX[one] for one in kinds])[0]
        found = seconds(site, pair[1], *_sizes(kind, chance))
        answers[kind].append((NOW - timedelta(minutes=number), found))
    prior = prior_for(site.kind, pair[1], parameters_in_name(pair[1])).service_seconds
    whole = _learned([one for found in answers.values() for one in found], prior)
    return VirtualModel(
        pair[0],
        pair[1],
        site.load_seconds(pair[1]),
        whole,
        mean_by_category={kind: _learned(found, whole) for kind, found in answers.items()},
    )


def _learned(samples: Sequence[tuple[datetime, float]], prior: float) -> float:
    return estimate(samples, prior=prior, now=NOW, config=LearningConfig()).mean
