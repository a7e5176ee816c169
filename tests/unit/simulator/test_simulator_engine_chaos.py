"""Whoever comes and leaves, and when: limits hold, nobody is forgotten, nothing leaks."""

from __future__ import annotations

import asyncio
import random

import pytest

from llm.simulator.activity import Activity
from llm.simulator.engine import SimulatedEngine
from llm.simulator.profiles import ModelProfile, ServerProfile
from llm.simulator.residents import LoadFailedError, LoadOptions, LoadOrder, QueueFullError

REQUESTS = 300
DEADLINE_SECONDS = 30.0
MODELS = tuple(
    ModelProfile(name=name, size_bytes=size)
    for name, size in zip("abcde", (1, 2, 3, 4, 5), strict=True)
)


class Chaos:
    """Requests with random models, options, lengths, failures and departures."""

    def __init__(self, profile: ServerProfile, *, seed: int) -> None:
        self.dice = random.Random(seed)
        self.profile = profile
        self.activity = Activity()
        self.engine = SimulatedEngine(profile, self.activity, time_scale=1.0)
        self.finished = 0

    async def run(self) -> None:
        tasks = []
        for _ in range(REQUESTS):
            tasks.append(asyncio.create_task(self._request()))
            if self.dice.random() < 0.3:
                self.dice.choice(tasks).cancel()
            if self.dice.random() < 0.05:
                self.engine.unload(ModelProfile(name=self.dice.choice("abcde")))
            if self.dice.random() < 0.2:
                await asyncio.sleep(self.dice.choice((0, 0.001)))
            self._check_limits()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        expected = (type(None), asyncio.CancelledError, QueueFullError, LoadFailedError)
        assert [one for one in results if not isinstance(one, expected)] == []

    async def _request(self) -> None:
        order = LoadOrder(
            self.dice.choice(MODELS),
            LoadOptions(self.dice.choice((4096, 4096, 8192))),
            seconds=self.dice.choice((0, 0.001, 0.003)),
            error=LoadFailedError("broken") if self.dice.random() < 0.05 else None,
        )
        keep_alive = self.dice.choice((None, None, 0.0, 0.002))
        bound = self.engine.bound(order, keep_alive_seconds=keep_alive)
        async with bound as resident, self.engine.slot(resident):
            self._check_limits()
            await asyncio.sleep(self.dice.choice((0, 0, 0.001)))
            assert resident in self.engine.residents
            assert not resident.is_loading
        self.finished += 1

    def _check_limits(self) -> None:
        residents = self.engine.residents
        limits = self.profile
        if limits.max_resident_models:
            assert len(residents) <= limits.max_resident_models
        if limits.memory_bytes:
            assert sum(one.model.size_bytes for one in residents) <= limits.memory_bytes
        assert sum(one.is_loading for one in residents) <= 1
        for one in residents:
            assert not limits.slots or one.active <= limits.slots
        assert not limits.server_slots or self.engine.active <= limits.server_slots


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "profile",
    [
        ServerProfile(
            models=MODELS, max_resident_models=1, slots=2, queue_limit=0, strict_order=True
        ),
        ServerProfile(
            models=MODELS, max_resident_models=2, slots=3, server_slots=4, queue_limit=40
        ),
        ServerProfile(
            models=MODELS, memory_bytes=7, slots=0, fairness_seconds=0.002, queue_limit=0
        ),
        ServerProfile(
            models=MODELS,
            max_resident_models=2,
            queue_limit=5,
            queue_covers="loads",
            strict_order=True,
            cancel_load_on_disconnect=True,
        ),
    ],
    ids=["strict", "server-slots", "memory", "ollama"],
)
def test_limits_hold_and_nothing_is_left_behind(profile: ServerProfile, seed: int) -> None:
    chaos = Chaos(profile, seed=seed)
    asyncio.run(asyncio.wait_for(chaos.run(), DEADLINE_SECONDS))

    assert chaos.finished > REQUESTS // 20
    assert (chaos.engine.active, chaos.engine.waiting) == (0, 0)
    assert all(one.refs == 0 and not one.queue for one in chaos.engine.residents)
    figures = chaos.activity.total
    assert figures.streams.now == 0
    loading = sum(one.is_loading for one in chaos.engine.residents)
    assert figures.loads - figures.unloads == len(chaos.engine.residents) - loading
