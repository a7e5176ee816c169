"""Residency: what is loaded, evicted, drained, and who waits for what."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from llm.simulator.activity import Activity
from llm.simulator.engine import SimulatedEngine
from llm.simulator.profiles import ModelProfile, ServerProfile
from llm.simulator.residents import LoadFailedError, LoadOptions, LoadOrder, QueueFullError

DEADLINE_SECONDS = 10.0
MODELS = {name: ModelProfile(name=name, size_bytes=10, load_seconds=0.01) for name in "abcd"}
SMALL, LARGE = LoadOptions(4096), LoadOptions(8192)


class Server:
    """An engine with its activity, and requests that hold a model until told to let go."""

    def __init__(self, **limits: Any) -> None:
        self.activity = Activity()
        profile = ServerProfile(models=tuple(MODELS.values()), **limits)
        self.engine = SimulatedEngine(profile, self.activity, time_scale=1.0)
        self.journal: list[str] = []

    def ask(
        self,
        name: str,
        *,
        options: LoadOptions = SMALL,
        release: asyncio.Event | None = None,
        error: LoadFailedError | None = None,
        seconds: float = 0.01,
    ) -> asyncio.Task[None]:
        order = LoadOrder(MODELS[name], options, seconds, error)
        return asyncio.create_task(self._hold(order, release))

    @property
    def loaded(self) -> list[str]:
        return [one.model.name for one in self.engine.residents if not one.is_loading]

    async def _hold(self, order: LoadOrder, release: asyncio.Event | None) -> None:
        async with self.engine.bound(order) as resident, self.engine.slot(resident):
            self.journal.append(order.model.name)
            await turns()
            if release is not None:
                await release.wait()


def play(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scene, DEADLINE_SECONDS))


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.002)


def test_a_model_is_loaded_once_for_all_who_wait_for_it() -> None:
    async def scene() -> None:
        server = Server(slots=0)
        await asyncio.gather(*(server.ask("a") for _ in range(20)))
        assert server.activity.total.loads == 1
        assert server.activity.total.streams.max == 20

    play(scene())


def test_the_least_recently_used_idle_model_goes_first() -> None:
    async def scene() -> None:
        server = Server(max_resident_models=2)
        for name in "abac":
            await server.ask(name)
        assert server.loaded == ["a", "c"]
        assert server.activity.total.evictions == 1

    play(scene())


def test_memory_bounds_residency_as_well() -> None:
    async def scene() -> None:
        server = Server(memory_bytes=25)
        for name in "abc":
            await server.ask(name)
        assert server.loaded == ["b", "c"]

    play(scene())


def test_when_none_is_idle_one_is_drained_and_gets_no_new_requests() -> None:
    async def scene() -> None:
        server = Server(max_resident_models=1, strict_order=True)
        release = asyncio.Event()
        first = server.ask("a", release=release)
        await until(lambda: server.journal == ["a"])

        other = server.ask("b")
        late = server.ask("a")
        await turns()
        assert server.journal == ["a"]

        release.set()
        await asyncio.gather(first, other, late)
        assert server.journal == ["a", "b", "a"]
        assert server.activity.total.loads == 3

    play(scene())


def test_a_busy_model_goes_on_until_the_fairness_time_is_over() -> None:
    async def scene() -> None:
        server = Server(max_resident_models=1, fairness_seconds=0.05, slots=0)
        release = asyncio.Event()
        holder = server.ask("a", release=release)
        await until(lambda: server.journal == ["a"])

        other = server.ask("b")
        await server.ask("a")  # still admitted
        resident = server.engine.residents[0]
        await until(lambda: resident.is_draining)
        late = server.ask("a")
        await turns()
        assert server.journal == ["a", "a"]

        release.set()
        await asyncio.gather(holder, other, late)
        assert server.journal == ["a", "a", "b", "a"]

    play(scene())


def test_other_options_reload_the_model() -> None:
    async def scene() -> None:
        server = Server()
        await server.ask("a", options=SMALL)
        await server.ask("a", options=LARGE)
        await server.ask("a", options=LARGE)
        assert server.activity.total.loads == 2
        assert server.engine.residents[0].options == LARGE

    play(scene())


def test_slots_are_given_first_come_first_served() -> None:
    async def scene() -> None:
        server = Server(slots=1, server_slots=1)
        await asyncio.gather(server.ask("a"), server.ask("b"))
        server.journal.clear()
        releases = [asyncio.Event() for _ in "abab"]
        tasks = []
        for name, release in zip("abab", releases, strict=True):
            tasks.append(server.ask(name, release=release))
            await turns()
        for number, release in enumerate(releases):
            await until(lambda number=number: len(server.journal) == number + 1)
            assert server.engine.active == 1
            release.set()
        await asyncio.gather(*tasks)
        assert server.journal == ["a", "b", "a", "b"]
        assert server.activity.total.streams.max == 1

    play(scene())


def test_a_full_queue_turns_requests_away() -> None:
    async def scene() -> None:
        server = Server(slots=1, queue_limit=2, retry_after_seconds=7)
        release = asyncio.Event()
        holder = server.ask("a", release=release)
        await until(lambda: server.journal == ["a"])
        waiting = [server.ask("a"), server.ask("a")]
        await turns()

        with pytest.raises(QueueFullError) as full:
            await server.ask("a")
        assert full.value.retry_after_seconds == 7

        release.set()
        await asyncio.gather(holder, *waiting)

    play(scene())


def test_a_queue_that_counts_loads_lets_any_number_wait_for_a_loaded_model() -> None:
    async def scene() -> None:
        server = Server(slots=1, queue_limit=1, queue_covers="loads")
        release = asyncio.Event()
        holder = server.ask("a", release=release)
        await until(lambda: server.journal == ["a"])
        waiting = [server.ask("a") for _ in range(5)]
        slow = server.ask("b", seconds=0.05)
        pending = server.ask("c")
        await turns()

        with pytest.raises(QueueFullError):
            await server.ask("d")

        release.set()
        await asyncio.gather(holder, slow, pending, *waiting)

    play(scene())


def test_those_who_leave_free_what_they_held_and_what_they_waited_for() -> None:
    async def scene() -> None:
        server = Server(slots=1)
        release = asyncio.Event()
        tasks = [server.ask("a", release=release) for _ in range(5)]
        await until(lambda: server.journal == ["a"])
        for task in tasks[:3]:
            task.cancel()
        await until(lambda: len(server.journal) == 2)
        release.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(server.journal) == 3
        assert (server.engine.active, server.engine.waiting) == (0, 0)
        assert server.engine.residents[0].refs == 0

    play(scene())


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_a_load_is_given_up_with_its_last_client_where_the_server_can(is_cancelled: bool) -> None:
    async def scene() -> None:
        server = Server(cancel_load_on_disconnect=is_cancelled)
        task = server.ask("a", seconds=3600 if is_cancelled else 0.01)
        await turns()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(lambda: not any(one.is_loading for one in server.engine.residents))
        assert server.loaded == ([] if is_cancelled else ["a"])
        assert server.activity.total.loads == (0 if is_cancelled else 1)

    play(scene())


def test_a_failed_load_fails_those_who_waited_and_the_next_one_loads() -> None:
    async def scene() -> None:
        server = Server()
        failing = server.ask("a", error=LoadFailedError("broken"))
        joined = server.ask("a")
        results = await asyncio.gather(failing, joined, return_exceptions=True)
        assert [type(result) for result in results] == [LoadFailedError, LoadFailedError]
        await server.ask("a")
        assert (server.activity.total.load_failures, server.activity.total.loads) == (1, 1)

    play(scene())


def test_keep_alive_unloads_an_idle_model() -> None:
    async def scene() -> None:
        server = Server(keep_alive_seconds=0.02)
        await server.ask("a")
        assert server.loaded == ["a"]
        await until(lambda: server.loaded == [])
        assert (server.activity.total.unloads, server.activity.total.evictions) == (1, 0)

    play(scene())


def test_unloading_a_model_in_use_waits_for_its_last_request() -> None:
    async def scene() -> None:
        server = Server()
        release = asyncio.Event()
        holder = server.ask("a", release=release)
        await until(lambda: server.journal == ["a"])
        assert server.engine.unload(ModelProfile(name="a"))
        assert server.loaded == ["a"]
        release.set()
        await holder
        assert server.loaded == []
        assert not server.engine.unload(ModelProfile(name="a"))

    play(scene())
