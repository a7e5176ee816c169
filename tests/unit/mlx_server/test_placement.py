"""Room for models and answers: what waits, what is refused, and for how long."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from llm import breaker, errors
from llm.backends.mapping import from_status
from llm.mlx_server.catalog import LocalModels, ModelEntry
from llm.mlx_server.engine_view import EngineTotals
from llm.mlx_server.errors import NeverFits, ServerError, Unavailable
from llm.mlx_server.job import Channel, EngineJob, PromptTokens
from llm.mlx_server.placement import RESERVED_CONTEXT_TOKENS, Placement
from llm.mlx_server.residents import Residents
from llm.mlx_server.settings import ServerSettings
from llm.mlx_server.waiting_line import WaitingLine
from tests.support.tiny_models import build_llama, build_qwen

RETRY_AFTER_SECONDS = 7
LONG_TOKENS = RESERVED_CONTEXT_TOKENS + 100  # more than is reserved for a model's first answer


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> LocalModels:
    folder = tmp_path_factory.mktemp("models")
    build_llama(folder / "llama")
    build_qwen(folder / "qwen")
    return LocalModels(folder, max_context_tokens=2048)


@dataclass
class House:
    """A placement with a limit in bytes, and what it refused."""

    limit_bytes: int
    refused: list[ServerError] = field(default_factory=list)
    residents: Residents = field(default_factory=Residents)
    waiting: WaitingLine = field(default_factory=WaitingLine)

    def __post_init__(self) -> None:
        self.placement = Placement(
            ServerSettings(retry_after_seconds=RETRY_AFTER_SECONDS),
            residents=self.residents,
            waiting=self.waiting,
            totals=EngineTotals(),
            limit_bytes=self.limit_bytes,
            fail=self._fail,
            on_progress=lambda: None,
        )

    def wait(self, entry: ModelEntry, *, tokens: int = 8) -> EngineJob:
        """A new request in line whose answer may take ``tokens``, prompt included."""
        job = EngineJob(
            model=entry, channel=Channel(), prompt=PromptTokens(tokens=(1,)), max_tokens=tokens - 1
        )
        self.waiting.add(job)
        return job

    def bring(self, entry: ModelEntry) -> None:
        """Have ``entry`` in memory with nobody waiting for it."""
        job = self.wait(entry)
        self.placement.place(now=0.0)
        while self.placement.load_a_chunk():
            pass
        self.waiting.discard(job)
        assert entry.name in self.residents.names

    def fits(self, job: EngineJob) -> bool:
        return self.placement.fits(job, now=0.0)

    def _fail(self, jobs: Sequence[EngineJob], error: ServerError) -> None:
        self.refused.extend(error for _ in jobs)


def _ordinary_bytes(entry: ModelEntry) -> int:
    return entry.size_bytes + RESERVED_CONTEXT_TOKENS * entry.kv_bytes_per_token


def _heard(error: ServerError) -> errors.LLMError:
    """What our own client makes of ``error``."""
    return from_status(error.status, {}, json.dumps({"error": str(error)}).encode())


def _llama_and_qwen_in_memory(catalog: LocalModels) -> tuple[House, ModelEntry]:
    """A house full with both, and the entry of llama, which came last."""
    entry, other = catalog.find("llama"), catalog.find("qwen")
    house = House(limit_bytes=_ordinary_bytes(entry) + other.size_bytes)
    house.bring(other)
    house.bring(entry)
    return house, entry


class TestWhatNeverFits:
    def test_a_model_above_the_limit_is_a_failed_load(self, catalog: LocalModels) -> None:
        entry = catalog.find("llama")
        house = House(limit_bytes=_ordinary_bytes(entry) - 1)
        house.wait(entry)

        house.placement.place(now=0.0)

        (error,) = house.refused
        assert isinstance(error, NeverFits)
        assert len(house.waiting) == 0
        assert type(_heard(error)) is errors.LoadFailed
        assert not breaker.counts_against_backend(_heard(error))

    def test_an_answer_that_never_fits_beside_its_model_is_a_failed_load(
        self, catalog: LocalModels
    ) -> None:
        house, entry = _llama_and_qwen_in_memory(catalog)
        tokens = house.limit_bytes // entry.kv_bytes_per_token

        assert not house.fits(house.wait(entry, tokens=tokens))

        (error,) = house.refused
        assert type(_heard(error)) is errors.LoadFailed
        assert str(house.limit_bytes) in str(error)
        assert house.residents.names == {"llama", "qwen"}, "nobody leaves for a hopeless request"


class TestFairness:
    def test_what_the_answers_of_a_busy_model_hold_is_free_once_it_has_left(
        self, catalog: LocalModels
    ) -> None:
        entry, other = catalog.find("llama"), catalog.find("qwen")
        house = House(limit_bytes=_ordinary_bytes(entry) + 1000)
        house.bring(entry)
        resident = house.residents.get(entry.name)
        assert resident is not None
        resident.admit(house.wait(entry, tokens=RESERVED_CONTEXT_TOKENS), now=0.0)
        house.wait(other)

        house.placement.place(now=time.monotonic() + 2 * ServerSettings().fairness_seconds)

        assert house.placement.draining == (entry.name,)


class TestWhatDoesNotFitNow:
    def test_the_memory_of_a_model_on_its_way_is_not_given_to_an_answer(
        self, catalog: LocalModels
    ) -> None:
        entry, other = catalog.find("llama"), catalog.find("qwen")
        house = House(limit_bytes=entry.size_bytes + _ordinary_bytes(other))
        house.bring(entry)
        house.wait(other)
        house.placement.place(now=0.0)
        long = house.wait(entry, tokens=LONG_TOKENS)

        assert house.placement.loading == other.name
        assert house.placement.reserved_bytes > house.limit_bytes - long.reserve_bytes
        assert not house.fits(long)

        assert house.refused == [], "it waits"
        assert house.residents.names == {entry.name}

    def test_idle_models_leave_for_an_answer(self, catalog: LocalModels) -> None:
        house, entry = _llama_and_qwen_in_memory(catalog)

        assert house.fits(house.wait(entry, tokens=LONG_TOKENS))

        assert house.residents.names == {"llama"}

    def test_beside_a_model_that_is_waited_for_it_is_told_to_come_back(
        self, catalog: LocalModels
    ) -> None:
        house, entry = _llama_and_qwen_in_memory(catalog)
        house.wait(catalog.find("qwen"))

        assert not house.fits(house.wait(entry, tokens=LONG_TOKENS))

        (error,) = house.refused
        assert isinstance(error, Unavailable)
        assert error.retry_after_seconds == RETRY_AFTER_SECONDS
        assert type(_heard(error)) is errors.Overloaded

    def test_kept_prefixes_of_its_own_model_give_way(
        self, catalog: LocalModels, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entry = catalog.find("llama")
        house = House(limit_bytes=_ordinary_bytes(entry))
        house.bring(entry)
        resident = house.residents.get(entry.name)
        assert resident is not None
        kept = [house.limit_bytes]
        monkeypatch.setattr(type(resident.decoder), "prefix_bytes", property(lambda _: sum(kept)))
        monkeypatch.setattr(resident.decoder, "forget_prefixes", kept.clear)

        assert house.fits(house.wait(entry, tokens=RESERVED_CONTEXT_TOKENS))
