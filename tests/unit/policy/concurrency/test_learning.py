from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.policy.estimation import AttemptSample, Estimates, LearningConfig, estimate, learn
from jobs.policy.priors import parameters_in, prior_for
from llm.types import BackendKind, Category

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KINDS = {"ollama": BackendKind.OLLAMA, "mlx": BackendKind.MLX}
CONFIG = LearningConfig()


def sample(*, hours_ago: float = 0.0, **measured: float | Category | None) -> AttemptSample:
    at = NOW - timedelta(hours=hours_ago)
    return AttemptSample("ollama", "qwq:32b", at, **measured)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("qwq:32b", 32e9),
        ("phi3.5:3.8b", 3.8e9),
        ("mlx-community/Qwen2.5-7B-Instruct-4bit", 7e9),
        ("mixtral:8x7b", 56e9),
        ("smollm:135m", 135e6),
        ("gpt-4o", None),
        ("nomic-embed-text", None),
        ("model4b2", None),
    ],
)
def test_the_size_is_read_from_a_models_name(name: str, parameters: float | None) -> None:
    assert parameters_in(name) == parameters


def test_priors_are_of_the_order_that_was_measured() -> None:
    small_mlx = prior_for(BackendKind.MLX, "phi3.5:3.8b")
    big_ollama = prior_for(BackendKind.OLLAMA, "qwq:32b")

    assert 0.3 <= small_mlx.load_seconds <= 5.8
    assert 0.1 <= small_mlx.service_seconds <= 4.0
    assert 1.5 <= big_ollama.load_seconds <= 43.0
    assert 24.0 <= big_ollama.service_seconds <= 123.0


def test_a_bigger_model_is_expected_to_be_slower_everywhere() -> None:
    for kind in BackendKind:
        small, big = prior_for(kind, "a:3b"), prior_for(kind, "a:70b")
        assert small.load_seconds <= big.load_seconds
        assert small.first_token_seconds < big.first_token_seconds
        assert small.tokens_per_second > big.tokens_per_second
        assert small.service_seconds < big.service_seconds


def test_a_model_that_never_ran_is_expected_to_behave_as_its_size() -> None:
    learned = Estimates(kinds=KINDS, parameters={("mlx", "mystery"): 3_000_000_000})

    figures = learned.figures("mlx", "mystery")

    assert figures.load_seconds.mean == prior_for(BackendKind.MLX, "a:3b").load_seconds
    assert figures.load_seconds.samples == 0
    assert learned.figures("nowhere", "nothing").service_seconds.mean > 0


def test_real_attempts_outweigh_the_prior() -> None:
    learned = learn([sample(service_seconds=5.0) for _ in range(30)], now=NOW, kinds=KINDS)

    service = learned.figures("ollama", "qwq:32b").service_seconds

    assert service.mean == pytest.approx(5.0, rel=0.3)
    assert (service.p50, service.samples) == (5.0, 30)


def test_old_samples_fade() -> None:
    samples = [sample(service_seconds=100.0, hours_ago=60) for _ in range(30)]
    samples += [sample(service_seconds=10.0) for _ in range(30)]

    service = learn(samples, now=NOW, kinds=KINDS).figures("ollama", "qwq:32b").service_seconds

    assert service.p50 == service.p90 == 10.0
    assert service.mean < 13


def test_warm_answers_teach_nothing_of_loads() -> None:
    samples = [sample(load_seconds=0.02) for _ in range(50)]
    samples += [sample(load_seconds=20.0) for _ in range(5)]

    load = learn(samples, now=NOW, kinds=KINDS).figures("ollama", "qwq:32b").load_seconds

    assert load.samples == 5
    assert load.p50 == 20.0


def test_categories_are_told_apart_and_lean_on_the_whole() -> None:
    samples = [sample(service_seconds=2.0, category=Category.FAST) for _ in range(40)]
    samples += [sample(service_seconds=60.0, category=Category.REASONING) for _ in range(40)]

    figures = learn(samples, now=NOW, kinds=KINDS).figures("ollama", "qwq:32b")

    assert figures.service(Category.FAST).mean < 4
    assert figures.service(Category.REASONING).mean > 55
    assert figures.service(Category.CODING) == figures.service(None) == figures.service_seconds
    assert set(figures.mean_service_by_category) == {Category.FAST, Category.REASONING}


def test_models_and_backends_are_told_apart() -> None:
    elsewhere = AttemptSample("mlx", "qwq:32b", NOW, service_seconds=1.0)

    learned = learn([elsewhere], now=NOW, kinds=KINDS)

    assert learned.figures("ollama", "qwq:32b").service_seconds.samples == 0
    assert learned.figures("mlx", "qwq:32b").service_seconds.samples == 1


def test_quantiles_follow_a_long_tail() -> None:
    dice = random.Random(1)
    samples = [sample(service_seconds=dice.lognormvariate(3.0, 0.5)) for _ in range(200)]

    service = learn(samples, now=NOW, kinds=KINDS).figures("ollama", "qwq:32b").service_seconds

    assert service.p50 == pytest.approx(20.1, rel=0.15)
    assert service.p95 == pytest.approx(45.7, rel=0.25)


def test_only_the_newest_samples_are_weighed() -> None:
    config = LearningConfig(most_samples=10, half_life_seconds=1e9)
    samples = [sample(service_seconds=100.0, hours_ago=2) for _ in range(50)]
    samples += [sample(service_seconds=1.0) for _ in range(10)]

    learned = learn(samples, now=NOW, kinds=KINDS, config=config)

    service = learned.figures("ollama", "qwq:32b").service_seconds
    assert (service.samples, service.p50) == (10, 1.0)


@given(
    values=st.lists(
        st.tuples(st.integers(0, 10**6), st.floats(-5, 1e5, allow_nan=False)), max_size=50
    ),
    prior=st.floats(0, 1e4, allow_nan=False),
)
def test_estimates_stay_within_what_was_seen(values: list[tuple[int, float]], prior: float) -> None:
    pairs = sorted(((NOW - timedelta(seconds=age), value) for age, value in values), reverse=True)

    found = estimate(pairs, prior=prior, now=NOW, config=CONFIG)

    seen = [prior, *(value for _, value in pairs if value >= 0)]
    assert min(seen) <= found.p50 <= found.p90 <= found.p95 <= max(seen)
    assert min(seen) - 1e-6 <= found.mean <= max(seen) + 1e-6


def test_how_much_answers_vary_is_learned_slowly() -> None:
    def variation(seconds: list[float]) -> float:
        values = [(NOW, value) for value in seconds]
        return estimate(values, prior=10.0, now=NOW, config=LearningConfig()).variation

    assert variation([]) == pytest.approx(0.5)
    assert variation([10.0] * 3) > 0.4
    assert variation([10.0] * 200) < 0.15
    assert variation([1.0, 1.0, 1.0, 100.0] * 50) > 1.3
