"""What is measured becomes the limits in force, and the planner hears of a change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from jobs.admission.limits import Limit
from jobs.policy.effective_limit import ConcurrencyDecision, HostLoad
from jobs.settings.load import Settings
from jobs.upkeep import limit_control as module
from jobs.upkeep.limit_control import WORKLOAD_CALLS, LimitControl
from llm.types import BackendKind, BackendSpec
from models.attempt import Ended

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPECS = tuple(
    BackendSpec(name, BackendKind.OLLAMA, "http://127.0.0.1:1", max_concurrent=8)
    for name in ("one", "two")
)


@dataclass
class World:
    """What a decision reads and writes. ``changed`` are the servers with another limit than
    before."""

    now: datetime = NOW
    ended: list[Ended] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    published: list[tuple[Mapping[str, Limit], Limit]] = field(default_factory=list)
    plans: list[str] = field(default_factory=list)

    def measure(self) -> HostLoad:
        return HostLoad(self.now, 0.2, 0.1, 64 * 2**30, 32 * 2**30, 8)

    def configured(self, name: str) -> Limit:
        return Limit(8, 8, "configured")

    of = configured

    def in_use(self, name: str) -> int:
        return 0

    def publish(self, decided: Mapping[str, Limit], *, total: Limit) -> Sequence[str]:
        self.published.append((decided, total))
        return self.changed

    def plan(self, reason: str) -> None:
        self.plans.append(reason)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(module, "session", nullcontext)
    monkeypatch.setattr(module, "utc_now", lambda: made.now)
    monkeypatch.setattr("models.attempt.ended_since", lambda since, *, newest: made.ended)
    monkeypatch.setattr("models.attempt.decoding", list)
    return made


def control(world: World, **settings: Any) -> LimitControl:
    values: dict[str, Any] = {"max_concurrent": 10, "adaptive_concurrency": True, **settings}
    parts = cast(Any, world)
    return LimitControl(
        Settings(backends=SPECS, **values),
        backends=parts, slots=parts, limits=parts, requests=parts, meter=parts,
    )  # fmt: skip


def calls(model: str, count: int, *, backend: str = "one", error: str | None = None) -> list[Ended]:
    return [
        Ended(
            "t", 1, backend, model, NOW - timedelta(seconds=4), NOW, 0.0, 1.0, 4.0, 100,
            "retried" if error else "completed", error, error,
        )
        for _ in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("backpressure", "adaptive", "total"), [(False, True, 3), (True, True, 0), (True, False, 3)]
)
def test_only_overloaded_servers_with_adaptive_limits_stop_everything(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    backpressure: bool,
    adaptive: bool,
    total: int,
) -> None:
    decided = ConcurrencyDecision(3, {}, backpressure, ("why",))
    monkeypatch.setattr(module, "effective_limit", lambda *seen, **more: decided)

    control(world, adaptive_concurrency=adaptive).decide()

    assert world.published[0][1] == Limit(total, 0, "why")


@pytest.mark.parametrize("changed", [[], ["one"]])
def test_the_planner_hears_of_a_limit_that_changed_and_of_no_other(
    world: World, changed: list[str]
) -> None:
    world.changed = changed

    control(world).decide()

    assert world.plans == ["limits"] * len(changed)


def test_the_limit_is_learned_for_the_model_of_the_newest_calls(world: World) -> None:
    limits = control(world)
    limits.decide()
    world.now += timedelta(seconds=15)
    world.ended = [*calls("old", 3 * WORKLOAD_CALLS), *calls("new", WORKLOAD_CALLS)]

    limits.decide()

    assert (limits.states["one"].workload, limits.states["two"].workload) == ("new", "")


def test_trouble_at_one_server_lowers_its_limit_alone(world: World) -> None:
    world.ended = calls("m", 1, error="out of memory")

    control(world).decide()

    decided = world.published[0][0]
    assert (decided["one"].slots, decided["two"].slots) == (4, 8)
