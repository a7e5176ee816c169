"""The engine thread with tiny models, without any HTTP around it."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.generate import generate_step
from mlx_lm.utils import load_model

from llm.mlx_server import decoders, placement
from llm.mlx_server.catalog import LocalModels, ModelEntry
from llm.mlx_server.engine import Engine
from llm.mlx_server.errors import GenerationFailed, ServerError, Unavailable
from llm.mlx_server.job import Channel, EngineJob, Event, Finished, Loaded, PromptTokens
from llm.mlx_server.loading import LoadedModel, load_in_chunks
from llm.mlx_server.settings import ServerSettings
from llm.mlx_server.text import AnswerText, Piece
from tests.support.tiny_models import build_llama, build_qwen, build_unbatchable

STOP_SECONDS = 10.0
DEADLINE_SECONDS = 30.0


class Numbers:
    """A detokenizer that writes every token as its number."""

    def __init__(self) -> None:
        self._fresh = ""

    @property
    def last_segment(self) -> str:
        fresh, self._fresh = self._fresh, ""
        return fresh

    def add_token(self, token: int) -> None:
        self._fresh += f"{token} "

    def finalize(self) -> None:
        pass


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> LocalModels:
    folder = tmp_path_factory.mktemp("models")
    build_llama(folder / "llama")
    build_qwen(folder / "qwen")
    build_unbatchable(folder / "solo")
    return LocalModels(folder, max_context_tokens=2048)


@pytest.fixture(scope="module", autouse=True)
def _no_mlx_arrays_left_behind() -> Iterator[None]:
    yield
    mx.clear_cache()


@asynccontextmanager
async def _engine(**settings: Any) -> AsyncIterator[Engine]:
    deaths: list[BaseException] = []
    engine = Engine(ServerSettings(**settings), asyncio.get_running_loop(), on_death=deaths.append)
    engine.start()
    try:
        yield engine
    finally:
        await asyncio.to_thread(engine.stop, timeout_seconds=STOP_SECONDS)
        assert not engine.alive


def _job(
    entry: ModelEntry, tokens: tuple[int, ...], *, count: int = 24, shared: int = 0
) -> EngineJob:
    return EngineJob(
        model=entry,
        channel=Channel(),
        prompt=PromptTokens(tokens=tokens, shared_tokens=shared),
        max_tokens=count,
        text=AnswerText(Numbers()),
    )


async def _events(job: EngineJob) -> list[Event]:
    events: list[Event] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not events or isinstance(events[-1], Piece):
            events.append(await job.channel.next())
    return events


async def _tokens(engine: Engine, job: EngineJob) -> list[int]:
    engine.submit(job)
    events = await _events(job)
    assert isinstance(events[-1], Finished), events[-1]
    assert job.text is not None
    text = "".join(e.text for e in events if isinstance(e, Piece)) + job.text.finish().text
    return [int(number) for number in text.split()]


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not holds():
            await asyncio.sleep(0.01)


def _prompts(count: int) -> list[tuple[int, ...]]:
    dice = random.Random(5)
    return [
        tuple(dice.randrange(1, 400) for _ in range(dice.randrange(2, 60))) for _ in range(count)
    ]


def _alone(entry: ModelEntry, prompt: tuple[int, ...], count: int) -> list[int]:
    model, _ = load_model(entry.folder)
    return [int(token) for token, _ in generate_step(mx.array(prompt), model, max_tokens=count)]


@pytest.mark.parametrize("name", ["llama", "qwen"])
def test_greedy_answers_of_a_batch_are_those_of_single_requests(
    catalog: LocalModels, name: str
) -> None:
    entry, prompts = catalog.find(name), _prompts(50)

    async def batched() -> list[list[int]]:
        async with _engine(max_concurrent=16) as engine:
            jobs = [_job(entry, prompt) for prompt in prompts]
            return await asyncio.gather(*(_tokens(engine, job) for job in jobs))

    assert asyncio.run(batched()) == [_alone(entry, prompt, 24) for prompt in prompts]


@pytest.mark.parametrize("name", ["llama", "qwen"])
def test_a_kept_prefix_does_not_change_the_answer(catalog: LocalModels, name: str) -> None:
    entry = catalog.find(name)
    prefix = tuple(range(5, 70))
    prompts = [(*prefix, *tail) for tail in _prompts(6)]

    async def scenario() -> list[list[int]]:
        async with _engine() as engine:
            first = await _tokens(engine, _job(entry, prompts[0], shared=len(prefix)))
            jobs = [_job(entry, prompt, shared=len(prefix)) for prompt in prompts[1:]]
            rest = await asyncio.gather(*(_tokens(engine, job) for job in jobs))
            assert all(job.cached_tokens == len(prefix) for job in jobs)
            return [first, *rest]

    assert asyncio.run(scenario()) == [_alone(entry, prompt, 24) for prompt in prompts]


@pytest.mark.parametrize("name", ["llama", "qwen"])
def test_a_prefix_on_disk_outlives_the_engine_and_does_not_change_the_answer(
    catalog: LocalModels, name: str, tmp_path: Path
) -> None:
    entry = catalog.find(name)
    prefix = tuple(range(5, 70))
    prompts = [(*prefix, *tail) for tail in _prompts(3)]

    async def answered(prompt: tuple[int, ...]) -> tuple[int, list[int]]:
        async with _engine(max_concurrent=4, prefix_cache_dir=tmp_path) as engine:
            job = _job(entry, prompt, shared=len(prefix))
            tokens = await _tokens(engine, job)
            return job.cached_tokens, tokens

    found = [asyncio.run(answered(prompt)) for prompt in prompts]

    assert [answer for _, answer in found] == [_alone(entry, prompt, 24) for prompt in prompts]
    assert [cached for cached, _ in found] == [0, len(prefix), len(prefix)]


def test_a_crowd_with_one_prefix_computes_it_once(catalog: LocalModels) -> None:
    entry = catalog.find("llama")
    prefix = tuple(range(5, 70))
    prompts = [(*prefix, *tail) for tail in _prompts(8)]

    async def scenario() -> list[list[int]]:
        async with _engine(max_concurrent=8) as engine:
            jobs = [_job(entry, prompt, shared=len(prefix)) for prompt in prompts]
            answers = await asyncio.gather(*(_tokens(engine, job) for job in jobs))
            assert sorted(job.cached_tokens for job in jobs) == [0] + 7 * [len(prefix)]
            return answers

    assert asyncio.run(scenario()) == [_alone(entry, prompt, 24) for prompt in prompts]


def test_those_who_wait_for_a_prefix_go_on_when_its_request_is_cancelled(
    catalog: LocalModels,
) -> None:
    entry = catalog.find("llama")
    prefix = tuple(number % 400 + 1 for number in range(1500))
    prompts = [(*prefix, 7, 8), (*prefix, 9, 10), (*prefix, 11, 12)]

    async def scenario() -> list[int]:
        async with _engine(max_concurrent=8, prefill_step_tokens=16) as engine:
            jobs = [_job(entry, prompt, count=4, shared=len(prefix)) for prompt in prompts]
            for job in jobs[:2]:
                engine.submit(job)
            waiting = asyncio.ensure_future(_tokens(engine, jobs[2]))
            await _until(lambda: engine.view.active == len(jobs))
            engine.cancel(jobs[0])
            engine.cancel(jobs[1])
            return await waiting

    assert asyncio.run(scenario()) == _alone(entry, prompts[2], 4)


def test_a_model_that_cannot_be_batched_serves_one_after_the_other(catalog: LocalModels) -> None:
    entry, prompts = catalog.find("solo"), _prompts(5)

    async def scenario() -> list[list[int]]:
        async with _engine() as engine:
            jobs = [_job(entry, prompt) for prompt in prompts]
            return await asyncio.gather(*(_tokens(engine, job) for job in jobs))

    assert asyncio.run(scenario()) == [_alone(entry, prompt, 24) for prompt in prompts]


def test_every_prefilled_chunk_of_a_model_that_is_not_batched_counts_as_progress(
    catalog: LocalModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    step = decoders.SequentialDecoder.step

    def counted(decoder: decoders.SequentialDecoder) -> list[decoders.Emission]:
        before = len(progress)
        emissions = step(decoder)
        steps.append(len(progress) - before)
        return emissions

    progress: list[float] = []
    noted = property(lambda _: progress[-1], lambda _, at: progress.append(at))
    monkeypatch.setattr(Engine, "progress_at", noted, raising=False)
    monkeypatch.setattr(decoders.SequentialDecoder, "step", counted)

    async def scenario() -> None:
        async with _engine(prefill_step_tokens=16) as engine:
            assert await _tokens(engine, _job(catalog.find("solo"), (1, 2) * 80, count=1))

    asyncio.run(scenario())
    assert steps[0] >= 160 // 16


def test_an_exception_fails_its_batch_and_the_next_request_is_served(
    catalog: LocalModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, prompt = catalog.find("llama"), (1, 2, 3)
    steps = decoders.BatchedDecoder.step

    def broken(decoder: decoders.BatchedDecoder) -> list[decoders.Emission]:
        monkeypatch.setattr(decoders.BatchedDecoder, "step", steps)
        raise RuntimeError("shapes do not match")

    async def scenario() -> None:
        async with _engine() as engine:
            expected = await _tokens(engine, _job(entry, prompt))
            monkeypatch.setattr(decoders.BatchedDecoder, "step", broken)
            victim = _job(entry, prompt)
            engine.submit(victim)
            (failure,) = await _events(victim)
            assert isinstance(failure, GenerationFailed)
            assert "shapes do not match" in str(failure)
            assert await _tokens(engine, _job(entry, prompt)) == expected

    asyncio.run(scenario())


def test_a_dead_engine_fails_everyone_and_tells(
    catalog: LocalModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = catalog.find("llama")

    async def scenario() -> None:
        died = asyncio.Event()
        loop = asyncio.get_running_loop()

        def note(_: BaseException) -> None:
            loop.call_soon_threadsafe(died.set)

        engine = Engine(ServerSettings(), loop, on_death=note)
        monkeypatch.setattr(engine, "_admit", lambda now: 1 / 0)
        engine.start()
        job = _job(entry, (1, 2))
        engine.submit(job)
        (failure,) = await _events(job)
        assert isinstance(failure, GenerationFailed)
        await asyncio.wait_for(died.wait(), DEADLINE_SECONDS)
        engine.stop(timeout_seconds=STOP_SECONDS)
        assert not engine.alive

    asyncio.run(scenario())


def test_a_stop_fails_what_is_inside_as_unavailable(catalog: LocalModels) -> None:
    async def scenario() -> list[Event]:
        async with _engine() as engine:
            job = _job(catalog.find("llama"), (1, 2), count=1_000_000)
            engine.submit(job)
            await job.channel.next()
        return await _events(job)

    assert isinstance(asyncio.run(scenario())[-1], Unavailable)


def test_cancelled_requests_leave_no_trace(catalog: LocalModels) -> None:
    entry = catalog.find("llama")

    async def scenario() -> None:
        async with _engine() as engine:
            jobs = [_job(entry, (1, 2), count=1_000_000) for _ in range(8)]
            for job in jobs:
                engine.submit(job)
            await jobs[0].channel.next()
            for job in jobs:
                engine.cancel(job)
            assert await _tokens(engine, _job(entry, (5, 6), count=4))
            await _until(lambda: (engine.view.waiting, engine.view.active) == (0, 0))

    asyncio.run(scenario())


def test_who_has_an_answer_finds_it_in_the_view_of_a_busy_engine(catalog: LocalModels) -> None:
    entry = catalog.find("llama")

    async def scenario() -> list[int]:
        async with _engine() as engine:
            long = _job(entry, (1, 2, 3), count=1500)
            engine.submit(long)
            active = []
            for count in range(1, 11):
                await _tokens(engine, _job(entry, (5, count), count=count))
                active.append(engine.view.active)
            engine.cancel(long)
            return active

    assert asyncio.run(scenario()) == [1] * 10


def test_a_model_that_needs_the_place_of_two_busy_ones_gets_it(catalog: LocalModels) -> None:
    busy, large = [catalog.find("llama"), catalog.find("qwen")], catalog.find("solo")
    limit = large.size_bytes + large.context_tokens * large.kv_bytes_per_token + 100_000
    room = {"max_cached_models": 3, "memory_limit_bytes": limit, "fairness_seconds": 0.05}

    async def scenario() -> None:
        async with _engine(**room) as engine:
            for entry in busy:
                await _tokens(engine, _job(entry, (1, 2), count=1))
            assert len(engine.view.residents) == 2
            for _ in range(100):
                for entry in busy:
                    engine.submit(_job(entry, (1, 2)))
            await _tokens(engine, _job(large, (1, 2), count=2))
            assert engine.view.waiting, "those that came first would have been served for ever"

    asyncio.run(scenario())


def test_twenty_loads_and_unloads_leave_no_memory_behind(catalog: LocalModels) -> None:
    entry = catalog.find("llama")

    async def cycle(engine: Engine) -> int:
        await _tokens(engine, _job(entry, (1, 2, 3), shared=0))
        engine.unload(entry.name)
        await _until(lambda: not engine.view.residents)
        view = engine.view
        assert view.memory is not None
        return view.memory.active_bytes

    async def scenario() -> list[int]:
        async with _engine() as engine:
            return [await cycle(engine) for _ in range(21)]

    active = asyncio.run(scenario())
    assert max(active[1:]) <= active[0] * 1.05 + 4096


@pytest.mark.parametrize("leaves", [False, True], ids=["served", "left"])
def test_a_model_unloaded_on_its_way_leaves_after_those_that_waited(
    catalog: LocalModels, monkeypatch: pytest.MonkeyPatch, leaves: bool
) -> None:
    entry, may_arrive = catalog.find("llama"), threading.Event()

    def held_up(folder: Path, **options: Any) -> Generator[None, None, LoadedModel]:
        while not may_arrive.is_set():
            yield
        return (yield from load_in_chunks(folder, **options))

    monkeypatch.setattr(placement, "load_in_chunks", held_up)

    async def scenario() -> None:
        async with _engine() as engine:
            job = _job(entry, (1, 2))
            engine.submit(job)
            await _until(lambda: engine.view.loading == entry.name)
            engine.unload(entry.name)
            if leaves:
                engine.cancel(job)
            may_arrive.set()
            if not leaves:
                assert isinstance((await _events(job))[-1], Finished)
            await _until(lambda: engine.view.totals.loads == 1 and not engine.view.residents)

    asyncio.run(scenario())


def test_a_request_that_only_loads_is_answered_when_the_model_is_there(
    catalog: LocalModels,
) -> None:
    async def scenario() -> Event | ServerError:
        async with _engine() as engine:
            job = EngineJob(model=catalog.find("qwen"), channel=Channel())
            engine.submit(job)
            return (await _events(job))[-1]

    assert isinstance(asyncio.run(scenario()), Loaded)
