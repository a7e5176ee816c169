"""Every adapter against a simulated server of its kind: the same tests for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from llm import errors
from llm.backends.base import BackendAdapter
from llm.backends.registry import build
from llm.simulator.faults import FAULTS
from llm.types import (
    BackendKind,
    BackendSpec,
    CancelToken,
    Deadlines,
    GenerateRequest,
    GenerationProgress,
    Message,
    Phase,
)
from tests.support.simulators import RunningSimulator, simulator

DEADLINES = Deadlines(
    connect_seconds=1.0,
    load_seconds=3.0,
    first_token_seconds=2.0,
    between_tokens_seconds=1.0,
    total_seconds=6.0,
)
GRACE_SECONDS = 3.0
PATIENT = Deadlines(first_token_seconds=60.0, between_tokens_seconds=60.0, total_seconds=90.0)
PROMPT = "Explain to a new colleague how a lighthouse works, step by step and in plain words."
SCHEMA = {
    "type": "object",
    "properties": {"verdict": {"type": "string"}, "score": {"type": "integer"}},
    "required": ["verdict", "score"],
}


@pytest.fixture(scope="module", params=["ollama", "mlx", "openai"])
def server(request: pytest.FixtureRequest) -> Iterator[RunningSimulator]:
    with simulator(request.param, time_scale=200.0) as running:
        yield running


@pytest.fixture
def backend(server: RunningSimulator) -> Iterator[BackendAdapter]:
    server.reset()
    spec = BackendSpec(name="under-test", kind=BackendKind(server.kind), url=server.url)
    adapter = build(spec, environ={})
    yield adapter
    adapter.close()


@pytest.fixture
def model(backend: BackendAdapter) -> str:
    return min(backend.list_models(), key=lambda info: info.size_bytes or 0).name


def ask(model: str, **changes: Any) -> GenerateRequest:
    request = GenerateRequest(model=model, messages=(Message("user", PROMPT),), max_tokens=400)
    return replace(request, **changes)


def test_an_answer_arrives_whole_with_its_figures(backend: BackendAdapter, model: str) -> None:
    completion = backend.generate(ask(model), deadlines=DEADLINES)

    assert completion.text.strip()
    assert completion.finish_reason == "stop"
    assert (completion.backend, completion.model) == ("under-test", model)
    assert completion.prompt_tokens
    assert completion.completion_tokens > 1
    assert completion.first_token_seconds is not None
    assert completion.duration_seconds >= completion.first_token_seconds


def test_the_token_limit_is_sent_and_its_reach_is_told(
    server: RunningSimulator, backend: BackendAdapter, model: str
) -> None:
    completion = backend.generate(ask(model, max_tokens=3), deadlines=DEADLINES)

    assert completion.finish_reason == "length"
    assert completion.completion_tokens == 3


def test_a_schema_is_passed_on_and_answered_with_json(backend: BackendAdapter, model: str) -> None:
    completion = backend.generate(ask(model, response_schema=SCHEMA), deadlines=DEADLINES)

    assert completion.text.strip().startswith("{")


def test_the_request_id_reaches_the_server(
    server: RunningSimulator, backend: BackendAdapter, model: str
) -> None:
    backend.generate(ask(model, request_id="task-7"), deadlines=DEADLINES)

    assert server.stats()["journal"][-1]["task_id"] == "task-7"


def test_progress_goes_from_waiting_to_decoding(backend: BackendAdapter, model: str) -> None:
    seen: list[GenerationProgress] = []

    backend.generate(ask(model), deadlines=DEADLINES, on_progress=seen.append)

    assert [progress.phase for progress in seen][:3] == [
        Phase.WAITING,
        Phase.PREFILL,
        Phase.DECODING,
    ]


def test_models_health_and_version_are_told(backend: BackendAdapter, model: str) -> None:
    models = backend.list_models()

    assert model in [info.name for info in models]
    assert backend.describe(models[0]).name == models[0].name
    assert backend.health().reachable
    assert backend.version()


def test_a_model_is_loaded_seen_and_unloaded(
    server: RunningSimulator, backend: BackendAdapter, model: str
) -> None:
    seconds = backend.preload(model, deadlines=DEADLINES)

    assert seconds >= 0.0
    assert model in [resident.name for resident in backend.resident_models()]
    if server.kind != "openai":
        backend.unload(model)
        assert model not in [resident.name for resident in backend.resident_models()]


def test_a_canary_is_one_token(
    server: RunningSimulator, backend: BackendAdapter, model: str
) -> None:
    backend.canary(model)

    assert server.stats()["journal"][-1]["completion_tokens"] == 1


def test_a_canary_leaves_a_resident_model_as_it_is(
    server: RunningSimulator, backend: BackendAdapter, model: str
) -> None:
    def seen() -> tuple[int, int | None, bool]:
        resident = next(one for one in backend.resident_models() if one.name == model)
        expires = resident.expires_at is not None and resident.expires_at.year < 2100
        return server.stats()["models"][model]["loads"], resident.context_tokens, expires

    backend.preload(model, num_ctx=1024, deadlines=DEADLINES)
    backend.generate(ask(model, num_ctx=1024, keep_alive=-1, max_tokens=5), deadlines=DEADLINES)
    before = seen()

    backend.canary(model, num_ctx=before[1])

    assert seen() == before
    assert not before[2]


def test_connections_are_used_again(
    server: RunningSimulator, backend: BackendAdapter, model: str
) -> None:
    for _ in range(20):
        backend.generate(ask(model, max_tokens=5), deadlines=DEADLINES)

    pool = backend._transport._session.get_adapter(server.url).poolmanager  # type: ignore[attr-defined]
    assert pool.connection_from_url(server.url).num_connections <= 2


def test_one_adapter_serves_many_threads_without_mixing_answers(
    backend: BackendAdapter, model: str
) -> None:
    texts: dict[int, str] = {}
    deadlines = replace(DEADLINES, first_token_seconds=20.0, total_seconds=30.0)

    def work(number: int) -> None:
        request = ask(model, max_tokens=30, messages=(Message("user", f"{PROMPT} {number}"),))
        texts[number] = backend.generate(request, deadlines=deadlines).text

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)

    assert len(texts) == 12
    assert all(texts.values())


# What each fault must become.
EXPECTED: dict[str, type[errors.LLMError]] = {
    "dead": errors.FirstTokenTimeout,
    "401": errors.NotAuthorized,
    "404": errors.ModelNotFound,
    "429": errors.Overloaded,
    "500": errors.ServerFailed,
    "503": errors.Overloaded,
    "hang-before": errors.FirstTokenTimeout,
    "hang-after": errors.StallTimeout,
    "reset": errors.StreamBroken,
    "drop": errors.TruncatedStream,
    "truncate": errors.TruncatedStream,
    "half-line": errors.TruncatedStream,
    "error-line": errors.ServerFailed,
    "invalid-utf8": errors.StreamBroken,
    "giant-line": errors.StreamBroken,
    "wrong-content-type": errors.StreamBroken,
    "echo": errors.EchoAnswer,
    "blank": errors.BlankAnswer,
    "thinking-only": errors.ThinkingOnly,
    "repetition": errors.RepetitionAnswer,
    "whitespace": errors.RepetitionAnswer,
}
ANSWERED = {"fragment", "wrong-schema", "cut-prompt", "runaway"}
OTHERWISE_TESTED = {"refuse", "drip", "slow-load", "load-failure"}


def bound_seconds(error: type[errors.LLMError]) -> float:
    """The deadline that ends such a fault."""
    if error is errors.FirstTokenTimeout:
        return DEADLINES.first_token_seconds
    if error is errors.StallTimeout:
        return DEADLINES.first_token_seconds + DEADLINES.between_tokens_seconds
    return DEADLINES.total_seconds


def test_every_fault_of_the_simulator_is_covered() -> None:
    assert set(FAULTS) == set(EXPECTED) | ANSWERED | OTHERWISE_TESTED


@pytest.mark.parametrize("fault", sorted(EXPECTED))
def test_a_fault_becomes_its_error_within_its_deadline(
    server: RunningSimulator, backend: BackendAdapter, model: str, fault: str
) -> None:
    server.fault(fault)
    started = time.monotonic()

    with pytest.raises(errors.LLMError) as caught:
        backend.generate(ask(model, max_tokens=4000), deadlines=DEADLINES)

    assert type(caught.value) is EXPECTED[fault], repr(caught.value)
    assert (caught.value.backend, caught.value.model) == ("under-test", model)
    assert time.monotonic() - started < bound_seconds(EXPECTED[fault]) + GRACE_SECONDS
    server.clear_faults()
    assert backend.generate(ask(model, max_tokens=5), deadlines=DEADLINES).text


@pytest.mark.parametrize("fault", ["429", "503"])
def test_retry_after_is_passed_on(
    server: RunningSimulator, backend: BackendAdapter, model: str, fault: str
) -> None:
    server.fault(fault, retry_after_seconds=7)

    with pytest.raises(errors.Overloaded) as caught:
        backend.generate(ask(model), deadlines=DEADLINES)

    assert caught.value.retry_after_seconds == 7.0


@pytest.mark.parametrize("fault", sorted(ANSWERED))
def test_a_harmless_fault_is_still_a_whole_answer(
    server: RunningSimulator, backend: BackendAdapter, model: str, fault: str
) -> None:
    server.fault(fault)

    completion = backend.generate(ask(model, max_tokens=600), deadlines=DEADLINES)

    assert completion.text
    assert completion.finish_reason == ("length" if fault == "runaway" else "stop")


def test_scraps_of_bytes_give_the_same_answer_as_whole_chunks(
    server: RunningSimulator, backend: BackendAdapter, model: str
) -> None:
    whole = backend.generate(ask(model, max_tokens=40), deadlines=DEADLINES)
    server.fault("fragment")

    scraps = backend.generate(ask(model, max_tokens=40), deadlines=DEADLINES)

    assert scraps.text == whole.text


def test_a_slow_drip_ends_at_the_total(
    server: RunningSimulator, backend: BackendAdapter, model: str
) -> None:
    server.fault("drip", seconds=0.3)
    started = time.monotonic()

    with pytest.raises(errors.TotalTimeout) as caught:
        backend.generate(ask(model), deadlines=replace(DEADLINES, total_seconds=1.5))

    assert time.monotonic() - started < 1.5 + GRACE_SECONDS
    assert caught.value.partial_text


def test_a_server_that_refuses_is_unreachable_and_healthy_again_later(
    server: RunningSimulator, backend: BackendAdapter, model: str
) -> None:
    server.fault("refuse", seconds=0.5)

    with pytest.raises(errors.BackendUnreachable):
        backend.generate(ask(model), deadlines=DEADLINES)
    health = backend.health()
    assert not health.reachable
    assert health.error

    end = time.monotonic() + 5.0
    while not backend.health().reachable:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_health_is_green_while_the_canary_of_a_dead_generation_fails(
    server: RunningSimulator, backend: BackendAdapter, model: str
) -> None:
    server.fault("dead")

    assert backend.health().reachable
    with pytest.raises(errors.FirstTokenTimeout):
        backend.canary(model, deadlines=DEADLINES)


def test_a_load_that_hangs_ends_at_the_load_deadline(
    server: RunningSimulator, backend: BackendAdapter, model: str
) -> None:
    server.fault("dead")
    started = time.monotonic()

    with pytest.raises(errors.LoadTimeout):
        backend.preload(model, deadlines=replace(DEADLINES, load_seconds=1.0))

    assert time.monotonic() - started < 1.0 + GRACE_SECONDS


def test_a_load_that_fails_says_so(
    server: RunningSimulator, backend: BackendAdapter, model: str
) -> None:
    server.fault("load-failure")

    if server.kind == "openai":
        assert backend.preload(model, deadlines=DEADLINES) >= 0.0  # resident from the start
        return
    with pytest.raises(errors.LoadFailed):
        backend.preload(model, deadlines=DEADLINES)
    with pytest.raises(errors.LoadFailed):
        backend.generate(ask(model), deadlines=DEADLINES)


def test_a_slow_load_is_waited_for(
    server: RunningSimulator, backend: BackendAdapter, model: str
) -> None:
    server.fault("slow-load", factor=10.0)

    backend.preload(model, deadlines=DEADLINES)

    assert backend.generate(ask(model), deadlines=DEADLINES).text


@pytest.mark.parametrize("fault", ["dead", "hang-before", "hang-after", "drip"])
def test_cancelling_ends_a_call_long_before_its_deadlines(
    server: RunningSimulator, backend: BackendAdapter, model: str, fault: str
) -> None:
    server.fault(fault, seconds=0.2)
    cancel = CancelToken()
    caught: list[errors.LLMError] = []

    def call() -> None:
        try:
            backend.generate(ask(model), deadlines=PATIENT, cancel=cancel)
        except errors.LLMError as exc:
            caught.append(exc)

    thread = threading.Thread(target=call)
    thread.start()
    server.wait_until(lambda stats: any(e["fault"] == fault for e in stats["journal"]))
    cancel.cancel("lease lost")
    thread.join(5.0)

    assert not thread.is_alive()
    assert [type(exc) for exc in caught] == [errors.CallCancelled]
    assert "lease lost" in str(caught[0])
    server.wait_until(lambda stats: stats["journal"][-1]["outcome"] != "running")


def test_a_call_cancelled_before_it_begins_is_never_sent(
    server: RunningSimulator, backend: BackendAdapter, model: str
) -> None:
    cancel = CancelToken()
    cancel.cancel("drain")

    with pytest.raises(errors.CallCancelled):
        backend.generate(ask(model), deadlines=DEADLINES, cancel=cancel)

    assert server.stats()["journal"] == []
