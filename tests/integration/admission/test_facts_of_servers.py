"""What real servers do with memory and contexts: shown by the simulator, and counted right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from jobs.admission.residency import Residency
from jobs.policy.plan_building.choices import Router
from jobs.policy.types import ModelView
from llm.backends.base import BackendAdapter
from llm.backends.registry import Backends, build
from llm.scanner import Scanner
from llm.types import BackendKind, BackendSpec, Deadlines, GenerateRequest, Message, ModelInfo
from models import model_loads
from tests.support.plan_builders import ollama, snapshot, task
from tests.support.simulators import Kind, RunningSimulator, simulator

TRAINED = 8192
MODEL: dict[str, Any] = {"name": "a", "context_tokens": TRAINED, "load_seconds": 0.05}


@contextmanager
def server(
    directory: Path, *models: dict[str, Any], kind: Kind = "ollama", **profile: Any
) -> Iterator[tuple[RunningSimulator, BackendAdapter]]:
    body = {"models": list(models) or [MODEL], **profile}
    with simulator(kind, profile=body, directory=directory, time_scale=1.0) as running:
        backend = build(BackendSpec(kind, BackendKind(kind), running.url), environ={})
        with closing(backend):
            yield running, backend


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models whose loads were recorded."""
    names: list[str] = []
    monkeypatch.setattr("jobs.admission.residency.session", closing_nothing)
    monkeypatch.setattr(model_loads, "record", lambda _, name, **more: names.append(name))
    return names


@contextmanager
def closing_nothing() -> Iterator[None]:
    yield


def generate(backend: BackendAdapter, model: str, *, num_ctx: int | None = None) -> float | None:
    request = GenerateRequest(model, (Message("user", "Hello"),), max_tokens=20, num_ctx=num_ctx)
    return backend.generate(request, deadlines=Deadlines()).load_seconds


class TestAContextAboveTheTrainedOne:
    def test_is_cut_by_the_server_which_then_loads_anew_for_what_it_shows(
        self, tmp_path: Path
    ) -> None:
        with server(tmp_path, compares_requested_context=True) as (running, backend):
            generate(backend, "a", num_ctx=2 * TRAINED)
            (resident,) = backend.resident_models()
            generate(backend, "a", num_ctx=resident.context_tokens)

            assert resident.context_tokens == TRAINED
            assert running.stats()["loads"] == 2

    def test_is_never_planned_so_that_the_canary_of_the_shown_one_loads_nothing(
        self, tmp_path: Path
    ) -> None:
        wanted = task(1, num_ctx=2 * TRAINED)
        view = snapshot([], ollama(), models=(ModelView("ollama", "a", context_tokens=TRAINED),))
        (option,) = Router(view).choices(wanted).options

        with server(tmp_path, compares_requested_context=True) as (running, backend):
            generate(backend, "a", num_ctx=option.key.num_ctx)
            (resident,) = backend.resident_models()
            backend.canary("a", num_ctx=resident.context_tokens)

            assert running.stats()["loads"] == 1


def test_names_of_one_blob_are_one_model_in_memory_and_one_load(
    tmp_path: Path, client: redis.Redis, recorded: list[str]
) -> None:
    names = [{**MODEL, "name": name, "blob": "sha256-1"} for name in "ab"]
    residency = Residency(client)
    with server(tmp_path, *names) as (running, backend):
        for name in "abab":
            residency.ensure(backend, name, TRAINED, deadlines=Deadlines())
            generate(backend, name, num_ctx=TRAINED)

        assert running.stats()["loads"] == 1
        assert [one.name for one in backend.resident_models()] == ["a"]
    assert recorded == ["a"]


def test_loads_recorded_are_loads_done_with_a_stranger_beside_us(
    tmp_path: Path, client: redis.Redis, recorded: list[str]
) -> None:
    names = [{**MODEL, "name": name} for name in "ab"]
    residency = Residency(client, clock=lambda: 0.0)
    by_stranger = 0
    with server(tmp_path, *names, max_resident_models=1, warm_load_seconds=0.3) as (
        running,
        backend,
    ):
        for turn in range(10):
            residency.forget("ollama")
            residency.ensure(backend, "a", TRAINED, deadlines=Deadlines())
            generate(backend, "a", num_ctx=TRAINED)
            if turn % 3 == 0:
                generate(backend, "b", num_ctx=TRAINED)
                by_stranger += 1

        assert len(recorded) + by_stranger == running.stats()["loads"] == 8


class TestLlamaServer:
    def test_the_context_of_a_slot_is_the_context(self, tmp_path: Path) -> None:
        resident = {**MODEL, "slot_context_tokens": 2048}
        with server(tmp_path, resident, kind="openai", lists_as="llama-server") as (_, backend):
            assert backend.list_models() == (ModelInfo("a"),)
            generate(backend, "a")

            assert [one.context_tokens for one in backend.list_models()] == [2048]

    def test_it_tells_how_many_slots_keep_a_prompt(self, tmp_path: Path) -> None:
        with server(tmp_path, kind="openai", lists_as="llama-server", slots=3) as (_, backend):
            generate(backend, "a")

            assert [one.prompt_slots for one in backend.resident_models()] == [3]

        with server(tmp_path, kind="openai", slots=3, resident_at_start=True) as (_, backend):
            assert [one.prompt_slots for one in backend.resident_models()] == [None]

    def test_a_model_that_a_router_only_lists_is_not_in_memory(self, tmp_path: Path) -> None:
        names = [{**MODEL, "name": name} for name in "ab"]
        with server(tmp_path, *names, kind="openai", lists_as="llama-server") as (_, backend):
            generate(backend, "b")

            assert [one.name for one in backend.resident_models()] == ["b"]
            assert len(backend.list_models()) == 2


def test_a_prompt_over_the_context_is_cut_in_silence_by_the_server(tmp_path: Path) -> None:
    """Why a prompt is refused before it is sent, and an answer to half of one afterwards."""
    long = (Message("user", "word " * 4000),)
    with server(tmp_path) as (_, backend):
        request = GenerateRequest("a", long, max_tokens=20, num_ctx=2048)
        answer = backend.generate(request, deadlines=Deadlines())

    assert answer.prompt_tokens is not None
    assert answer.prompt_tokens <= 2048
    assert answer.text


def test_a_scan_tells_the_planner_the_context(tmp_path: Path) -> None:
    with server(tmp_path) as (running, _):
        specs = (BackendSpec("ollama", BackendKind.OLLAMA, running.url),)
        found = Scanner(Backends(specs, environ={})).scan().server("ollama")

    assert found is not None
    assert [one.info.context_tokens for one in found.models or ()] == [TRAINED]
