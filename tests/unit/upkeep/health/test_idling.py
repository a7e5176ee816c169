from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobs.upkeep.health.idle_models import TRIED_SECONDS, IdleModels
from llm.types import ResidentModel

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def resident(
    expires_in_seconds: float, *, seen_at: datetime = NOW, name: str = "m"
) -> ResidentModel:
    return ResidentModel(name, expires_at=seen_at + timedelta(seconds=expires_in_seconds))


def test_a_model_is_tried_for_a_minute_however_often_that_renews_it() -> None:
    idle = IdleModels()
    tried = []

    for seconds in range(0, 120, 10):
        now = later(seconds)
        if idle.to_try("ollama", [resident(300, seen_at=now)], now) is not None:
            tried.append(seconds)

    assert tried == list(range(0, int(TRIED_SECONDS), 10))


def test_a_short_life_is_not_drawn_out_beyond_its_end() -> None:
    idle = IdleModels()

    assert idle.to_try("ollama", [resident(20)], NOW) is not None
    assert idle.to_try("ollama", [resident(20, seen_at=later(10))], later(10)) is not None
    assert idle.to_try("ollama", [resident(20, seen_at=later(10))], later(20)) is None


@pytest.mark.parametrize("expires_at", [None, datetime(2318, 1, 1, tzinfo=UTC)])
def test_a_model_that_stays_is_always_tried(expires_at: datetime | None) -> None:
    idle = IdleModels()
    stays = ResidentModel("m", expires_at=expires_at)

    assert idle.to_try("ollama", [stays], NOW) == stays
    assert idle.to_try("ollama", [stays], later(86_400)) == stays


def test_another_model_that_may_be_tried_is_taken() -> None:
    idle = IdleModels()
    old = resident(300, name="old")
    idle.to_try("ollama", [old], NOW)
    new = resident(300, seen_at=later(100), name="new")

    assert idle.to_try("ollama", [old, new], later(100)) == new
    assert idle.to_try("mlx", [old], later(100)) == old


def test_use_begins_a_new_minute() -> None:
    idle = IdleModels()
    idle.to_try("ollama", [resident(300)], NOW)
    assert idle.to_try("ollama", [resident(300)], later(100)) is None

    idle.in_use("ollama")

    assert idle.to_try("ollama", [resident(300)], later(110)) is not None


@pytest.mark.parametrize("others", [[], ["other"]])
def test_a_model_that_left_and_came_back_is_tried_again(others: list[str]) -> None:
    idle = IdleModels()
    idle.to_try("ollama", [resident(300)], NOW)
    idle.to_try("ollama", [resident(300, name=name) for name in others], later(50))

    assert idle.to_try("ollama", [resident(300)], later(100)) is not None
