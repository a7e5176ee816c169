"""How long loads, first tokens and answers take, learned from the attempts that were made.

Samples fade with age, so that a new server version or a full disk is noticed; each model's prior
counts as one more sample, so that nothing is ever unknown and nothing jumps at the first attempt.
Means feed plans and ETAs, high quantiles feed deadlines.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from jobs.policy.priors import Prior, prior_for
from llm.types import BackendKind, Category

WARM_LOAD_SECONDS = 0.1
USUAL_PREFILL_SECONDS = 1 / 200
"""Of one prompt token before any is measured: a large model on a small GPU."""
KIND_OF_FORMER_SERVERS = BackendKind.OLLAMA
"""Attempts of a server that is no longer configured: estimated by the slowest kind."""
USUAL_VARIATION = 0.5
"""Standard deviation of service times as a part of their mean, before any is known,"""
VARIATION_WEIGHT = 10.0
"""and how many samples this prior is worth: a few answers tell little of a spread."""


@dataclass(frozen=True, slots=True)
class AttemptSample:
    """What one attempt measured; None where it did not.

    ``load_seconds`` is how long the server loaded the model. Less than 0.1 s means that the model
    was resident, so nothing is learned about loads. ``service_seconds`` is from the request to the
    end of a whole answer, without the load.
    """

    backend: str
    model: str
    at: datetime
    category: Category | None = None
    load_seconds: float | None = None
    first_token_seconds: float | None = None
    tokens_per_second: float | None = None
    service_seconds: float | None = None
    prefill_seconds_per_token: float | None = None


@dataclass(frozen=True, slots=True)
class LearningConfig:
    """``half_life_seconds``: a sample of that age counts half. ``most_samples`` bounds the work.
    ``prior_weight`` is how many fresh samples the prior is worth."""

    half_life_seconds: float = 6 * 3600.0
    most_samples: int = 200
    prior_weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A decayed mean with quantiles. ``samples`` is 0 where only the prior speaks.

    ``variation`` is the standard deviation as a part of the mean.
    """

    mean: float
    p50: float
    p90: float
    p95: float
    samples: int = 0
    variation: float = USUAL_VARIATION


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of one model at one backend."""

    load_seconds: Estimate
    first_token_seconds: Estimate
    tokens_per_second: Estimate
    service_seconds: Estimate
    service_by_category: Mapping[Category, Estimate] = field(default_factory=dict)
    prefill_seconds_per_token: Estimate | None = None

    def service(self, category: Category | None) -> Estimate:
        """Service seconds of a category, or of the model as a whole where it has none."""
        if category is None:
            return self.service_seconds
        return self.service_by_category.get(category, self.service_seconds)

    @property
    def mean_service_by_category(self) -> dict[Category, float]:
        return {category: found.mean for category, found in self.service_by_category.items()}


@dataclass(frozen=True, slots=True)
class Estimates:
    """Figures of every model that was run, and of any other by its prior."""

    known: Mapping[tuple[str, str], Figures] = field(default_factory=dict)
    kinds: Mapping[str, BackendKind] = field(default_factory=dict)
    parameters: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def figures(self, backend: str, model: str) -> Figures:
        """What to expect of ``model`` at ``backend``; never fails, never None."""
        found = self.known.get((backend, model))
        if found is not None:
            return found
        kind = self.kinds.get(backend, KIND_OF_FORMER_SERVERS)
        return _from_prior(prior_for(kind, model, self.parameters.get((backend, model))))


def learn(
    samples: Iterable[AttemptSample],
    *,
    now: datetime,
    kinds: Mapping[str, BackendKind],
    parameters: Mapping[tuple[str, str], int] | None = None,
    config: LearningConfig | None = None,
) -> Estimates:
    """Learn from ``samples`` in any order.

    ``kinds`` maps backends to their kind, ``parameters`` (backend, model) to its size where a scan
    reported one; both shape the priors.
    """
    config = config or LearningConfig()
    sizes = parameters or {}
    grouped: dict[tuple[str, str], list[AttemptSample]] = defaultdict(list)
    for sample in samples:
        grouped[sample.backend, sample.model].append(sample)
    known = {}
    for (backend, model), group in grouped.items():
        kind = kinds.get(backend, KIND_OF_FORMER_SERVERS)
        prior = prior_for(kind, model, sizes.get((backend, model)))
        newest_first = sorted(group, key=lambda sample: sample.at, reverse=True)
        known[backend, model] = _figures(newest_first, prior, config, now=now)
    return Estimates(known, dict(kinds), dict(sizes))


def estimate(
    values: Iterable[tuple[datetime, float]],
    *,
    prior: float,
    now: datetime,
    config: LearningConfig,
) -> Estimate:
    """Decayed mean and quantiles of ``(at, value)``, newest first; negative values are dropped."""
    weighted = [(prior, config.prior_weight)]
    for at, value in values:
        if len(weighted) > config.most_samples:
            break
        if value >= 0:
            age_seconds = max(0.0, (now - at).total_seconds())
            weighted.append((value, 0.5 ** (age_seconds / config.half_life_seconds)))
    total = sum(weight for _, weight in weighted)
    mean = sum(value * weight for value, weight in weighted) / total
    variation = _variation(weighted[1:], mean)
    weighted.sort()
    p50, p90, p95 = (_quantile(weighted, total * share) for share in (0.5, 0.9, 0.95))
    return Estimate(mean, p50, p90, p95, len(weighted) - 1, variation)


def _figures(
    samples: list[AttemptSample], prior: Prior, config: LearningConfig, *, now: datetime
) -> Figures:
    def of(pairs: Iterable[tuple[datetime, float | None]], expected: float) -> Estimate:
        measured = ((at, value) for at, value in pairs if value is not None)
        return estimate(measured, prior=expected, now=now, config=config)

    loads = (
        (x.at, x.load_seconds)
        for x in samples
        if x.load_seconds is not None and x.load_seconds >= WARM_LOAD_SECONDS
    )
    service = of(((x.at, x.service_seconds) for x in samples), prior.service_seconds)
    categories = {x.category for x in samples if x.category and x.service_seconds is not None}
    return Figures(
        load_seconds=of(loads, prior.load_seconds),
        first_token_seconds=of(
            ((x.at, x.first_token_seconds) for x in samples), prior.first_token_seconds
        ),
        tokens_per_second=of(
            ((x.at, x.tokens_per_second) for x in samples), prior.tokens_per_second
        ),
        service_seconds=service,
        prefill_seconds_per_token=of(
            ((x.at, x.prefill_seconds_per_token) for x in samples), USUAL_PREFILL_SECONDS
        ),
        # What the model needs as a whole is the prior of each category.
        service_by_category={
            category: of(
                ((x.at, x.service_seconds) for x in samples if x.category is category),
                service.mean,
            )
            for category in sorted(categories)
        },
    )


def _from_prior(prior: Prior) -> Figures:
    def only(value: float) -> Estimate:
        return Estimate(value, value, value, value)

    return Figures(
        load_seconds=only(prior.load_seconds),
        first_token_seconds=only(prior.first_token_seconds),
        tokens_per_second=only(prior.tokens_per_second),
        service_seconds=only(prior.service_seconds),
    )


def _variation(weighted: Sequence[tuple[float, float]], mean: float) -> float:
    square = sum(weight * (value - mean) ** 2 for value, weight in weighted)
    known = sum(weight for _, weight in weighted)
    usual = VARIATION_WEIGHT * (USUAL_VARIATION * mean) ** 2
    return math.sqrt((square + usual) / (known + VARIATION_WEIGHT)) / mean if mean > 0 else 0.0


def _quantile(weighted: list[tuple[float, float]], wanted: float) -> float:
    reached = 0.0
    for value, weight in weighted:
        reached += weight
        if reached >= wanted:
            return value
    return weighted[-1][0]
