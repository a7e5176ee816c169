"""Loading a model once for all threads that want it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from jobs.admission import load_reports
from jobs.admission import residency as module
from jobs.admission.residency import (
    HOLDS_FOR_SECONDS,
    HOLDS_FOR_SECONDS_OF_THESE,
    Holds,
    Residency,
)
from llm.errors import CallCancelled, LoadTimeout
from llm.types import BackendKind, BackendSpec, CancelToken, Deadlines, ResidentModel

MODEL = "qwq:32b"
SPEC = BackendSpec("ollama", BackendKind.OLLAMA, "http://x")


class Shared:
    """The values that processes share."""

    def __init__(self) -> None:
        self.fields: dict[tuple[str, str], str] = {}
        self.values: dict[str, str] = {}
        self.seconds: dict[str, int] = {}
        self.lists: dict[str, list[str]] = {}

    @contextmanager
    def pipeline(self) -> Iterator[Any]:
        """One that adds a report to a list and answers with what was there before."""

        def rpush(name: str, value: str) -> None:
            found[0] = list(self.lists.setdefault(name, []))
            self.lists[name].append(value)

        found: list[list[str]] = [[]]
        yield SimpleNamespace(
            rpush=rpush,
            execute=lambda: found,
            **dict.fromkeys(("lrange", "ltrim", "expire"), lambda *told: None),
        )

    def get(self, name: str) -> str | None:
        return self.values.get(name)

    def set(self, name: str, value: str, *, ex: int) -> None:
        self.values[name] = value
        self.seconds[name] = ex

    def delete(self, name: str) -> None:
        self.values.pop(name, None)

    def hget(self, name: str, field: str) -> str | None:
        return self.fields.get((name, field))

    def hset(self, name: str, field: str, value: str) -> None:
        self.fields[name, field] = value


class Server:
    """A server whose loads are let through, or failed, by the test."""

    name = "ollama"
    spec = SPEC

    def __init__(self, error: Exception | None = None) -> None:
        self.loads = 0
        self.asked = threading.Event()
        self.go = threading.Event()
        self._error = error

    def resident_models(self) -> tuple[ResidentModel, ...]:
        return ()

    def preload(self, model: str, **options: Any) -> float:
        self.loads += 1
        self.asked.set()
        assert self.go.wait(10)
        if self._error is not None:
            raise self._error
        return 0.0


def ensure(residency: Residency, server: Server, cancel: CancelToken | None = None) -> float:
    return residency.ensure(cast(Any, server), MODEL, 0, deadlines=Deadlines(), cancel=cancel)


def in_threads(count: int, work: Any) -> tuple[list[threading.Thread], list[object]]:
    results: list[object] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001 - the test looks at what was raised
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, results


@pytest.fixture
def shared() -> Shared:
    return Shared()


@pytest.fixture
def residency(shared: Shared) -> Residency:
    return Residency(cast(Any, shared))


def test_five_threads_load_a_model_once(residency: Residency) -> None:
    server = Server()
    threads, results = in_threads(5, lambda: ensure(residency, server))
    assert server.asked.wait(10)

    server.go.set()
    for thread in threads:
        thread.join(10)

    assert server.loads == 1
    assert results == [0.0] * 5


class Single:
    """A server that holds one model."""

    name = "ollama"
    spec = SPEC

    def __init__(self) -> None:
        self.loads: list[str] = []

    def resident_models(self) -> tuple[ResidentModel, ...]:
        return tuple(ResidentModel(name) for name in self.loads[-1:])

    def preload(self, model: str, **options: Any) -> float:
        self.loads.append(model)
        return 2.0


@dataclass
class Beside:
    """Two processes beside each other at one server of one model."""

    worker: Residency
    gateway: Residency
    server: Single

    def load(self, residency: Residency, model: str) -> float:
        return residency.ensure(cast(Any, self.server), model, 0, deadlines=Deadlines())


@pytest.fixture
def beside(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> Beside:
    monkeypatch.setattr(Residency, "_record", lambda *load: None)
    return Beside(Residency(cast(Any, shared)), Residency(cast(Any, shared)), Single())


def test_a_process_sees_that_another_one_loaded_a_model_in_the_place_of_its_own(
    beside: Beside,
) -> None:
    worker, gateway, load = beside.worker, beside.gateway, beside.load

    assert [load(worker, "backlog"), load(worker, "backlog"), load(gateway, "chat")] == [2, 0, 2]
    assert load(worker, "backlog") == 2
    assert worker.seen("ollama") == ("backlog",)


def test_nobody_counts_on_a_model_that_a_load_is_about_to_displace(
    beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, server = beside.gateway, beside.server
    beside.load(gateway, "chat")
    seen_during_load: list[object] = []
    load = server.preload

    def preload(model: str, **options: Any) -> float:
        seen_during_load.append(gateway.seen("ollama"))
        return load(model, **options)

    monkeypatch.setattr(server, "preload", preload)
    beside.load(beside.worker, "backlog")

    assert seen_during_load == [()]
    assert gateway.seen("ollama") == ("backlog",)


def test_those_who_waited_for_a_load_that_failed_do_not_try_it_in_turn(
    residency: Residency,
) -> None:
    server = Server(LoadTimeout("no load in 60 s", backend="ollama", model=MODEL))
    threads, results = in_threads(5, lambda: ensure(residency, server))
    assert server.asked.wait(10)

    server.go.set()
    for thread in threads:
        thread.join(10)

    assert server.loads < 5
    assert all(isinstance(result, LoadTimeout) for result in results)


def test_who_comes_after_a_load_that_failed_tries_it_again(shared: Shared) -> None:
    now = [1000.0]
    residency = Residency(cast(Any, shared), clock=lambda: now[0])
    server = Server(LoadTimeout("no load in 60 s", backend="ollama", model=MODEL))
    server.go.set()

    for loads in (1, 2):
        with pytest.raises(LoadTimeout):
            ensure(residency, server)
        assert server.loads == loads
        now[0] += 1


def test_whoever_waits_for_a_load_can_be_cancelled(residency: Residency) -> None:
    server, token = Server(), CancelToken()
    first, _ = in_threads(1, lambda: ensure(residency, server))
    assert server.asked.wait(10)
    second, results = in_threads(1, lambda: ensure(residency, server, token))

    token.cancel("cancel requested")
    second[0].join(10)

    assert isinstance(results[0], CallCancelled)
    server.go.set()
    first[0].join(10)


class Sized:
    """A server that holds one model at a time, at 4096 tokens where no context is asked for."""

    name = "ollama"
    spec = SPEC

    def __init__(self) -> None:
        self.context_tokens: int | None = None
        self.loads: list[int | None] = []

    def resident_models(self) -> tuple[ResidentModel, ...]:
        held = self.context_tokens
        return (ResidentModel(MODEL, context_tokens=held),) if held else ()

    def preload(self, model: str, *, num_ctx: int | None, **options: Any) -> float:
        self.loads.append(num_ctx)
        self.context_tokens = num_ctx or 4096
        return 2.0


def sized(residency: Residency, server: Sized, num_ctx: int) -> float:
    return residency.ensure(cast(Any, server), MODEL, num_ctx, deadlines=Deadlines())


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch, residency: Residency) -> Residency:
    """A residency that tells nobody of its loads."""
    monkeypatch.setattr(residency, "publish", lambda *told: None)
    monkeypatch.setattr(residency, "_record", lambda *told: None)
    return residency


def test_any_context_will_do_while_the_one_of_the_server_is_not_known(untold: Residency) -> None:
    server = Sized()
    server.context_tokens = 8192

    assert sized(untold, server, 0) == 0.0
    assert server.loads == []


def test_going_back_to_the_context_of_the_server_is_a_load(untold: Residency) -> None:
    server = Sized()

    seconds = [sized(untold, server, num_ctx) for num_ctx in (0, 8192, 0)]

    assert seconds == [2.0, 2.0, 2.0]
    assert server.loads == [None, 8192, None]


class Roomy:
    """A server that is configured to hold two models; ``most`` is what it really holds."""

    name = "ollama"
    spec = replace(SPEC, max_resident_models=2)

    def __init__(
        self, most: int, *, expires_at: datetime | None = None, size_bytes: int | None = None
    ) -> None:
        self.most = most
        self.size_bytes = size_bytes
        self.expires_at = expires_at
        self.held: list[str] = []

    def resident_models(self) -> tuple[ResidentModel, ...]:
        return tuple(
            ResidentModel(name, self.size_bytes, expires_at=self.expires_at) for name in self.held
        )

    def preload(self, model: str, **options: Any) -> float:
        self.held = [*self.held, model][-self.most :]
        return 2.0


class TestHowManyModelsAServerHolds:
    @pytest.fixture
    def residency(self, monkeypatch: pytest.MonkeyPatch, residency: Residency) -> Residency:
        monkeypatch.setattr(residency, "_record", lambda *told: None)
        return residency

    def load(self, residency: Residency, server: Roomy, *models: str) -> int | None:
        for model in models:
            residency.ensure(cast(Any, server), model, 0, deadlines=Deadlines())
        return residency.holds(server.spec)

    def test_one_that_drops_a_model_it_had_room_for_holds_fewer(self, residency: Residency) -> None:
        server = Roomy(most=1)

        assert self.load(residency, server, "a") == 2
        assert self.load(residency, server, "b") == 1
        assert residency.learned_holds("ollama") == Holds(1, loaded="b", removed="a")

    def test_models_larger_than_all_it_ever_held_prove_little_of_smaller_ones(
        self, residency: Residency, shared: Shared
    ) -> None:
        server = Roomy(most=1, size_bytes=20)

        assert self.load(residency, server, "a", "b") == 1
        assert residency.learned_holds("ollama") == Holds(1, "b", "a", together_bytes=40)
        assert shared.seconds["kos:holds:ollama"] == HOLDS_FOR_SECONDS_OF_THESE

    def test_one_that_held_as_much_before_has_the_memory(
        self, residency: Residency, shared: Shared
    ) -> None:
        large = [ResidentModel("large", 50)]
        residency.publish("ollama", large)

        assert self.load(residency, Roomy(most=1, size_bytes=20), "a", "b") == 1
        assert residency.learned_holds("ollama") == Holds(1, "b", "a")
        assert shared.seconds["kos:holds:ollama"] == HOLDS_FOR_SECONDS

    def test_one_that_holds_what_is_configured_is_believed(self, residency: Residency) -> None:
        assert self.load(residency, Roomy(most=2), "a", "b", "c") == 2
        assert residency.learned_holds("ollama") is None, "a full server replaces what it holds"

    def test_a_model_that_expired_meanwhile_proves_nothing(self, residency: Residency) -> None:
        past = datetime.now(UTC) - timedelta(seconds=1)
        assert self.load(residency, Roomy(most=1, expires_at=past), "a", "b") == 2

    def test_more_models_in_memory_disprove_what_was_learned(self, residency: Residency) -> None:
        server = Roomy(most=1)
        self.load(residency, server, "a", "b")

        server.most = 2
        assert self.load(residency, server, "c") == 2


class TestWhatIsTrusted:
    """The server is asked again unless this process used the model a moment ago, as its last."""

    @pytest.fixture
    def now(self) -> list[float]:
        return [1000.0]

    @pytest.fixture
    def residency(
        self, now: list[float], shared: Shared, monkeypatch: pytest.MonkeyPatch
    ) -> Residency:
        monkeypatch.setattr(module, "epoch_seconds", lambda: now[0])
        return Residency(cast(Any, shared), clock=lambda: now[0])

    @pytest.fixture
    def shared(self) -> Shared:
        return Shared()

    def looks(self, residency: Residency, model: str = MODEL, num_ctx: int = 4096) -> int:
        """How often ``ensure`` asks the server what it holds."""
        asked = []

        class Holder:
            name = "ollama"
            spec = SPEC

            def resident_models(self) -> tuple[ResidentModel, ...]:
                asked.append(model)
                return (ResidentModel(model, context_tokens=num_ctx),)

        residency.ensure(cast(Any, Holder()), model, num_ctx, deadlines=Deadlines())
        return len(asked)

    @pytest.mark.parametrize(
        ("after", "is_trusted"),
        [
            (lambda r, now: None, True),
            (lambda r, now: now.__setitem__(0, now[0] + module.TRUST_SECONDS + 1), False),
            (lambda r, now: r.used("ollama", "another", 4096), False),
            (lambda r, now: r.used("ollama", MODEL, 8192), False),
            (lambda r, now: r.used("mlx", "another", 4096), True),
            (lambda r, now: r.forget("ollama"), False),
            (lambda r, now: r.forget("mlx"), True),
        ],
        ids=[
            "just used", "used long ago", "another model since", "another context since",
            "another server", "that failed", "another that failed",
        ],
    )  # fmt: skip
    def test_a_model_that_was_used(
        self, residency: Residency, now: list[float], after: Any, is_trusted: bool
    ) -> None:
        residency.used("ollama", MODEL, 4096)

        after(residency, now)

        assert (self.looks(residency) == 0) == is_trusted

    @pytest.mark.parametrize(
        ("looked_at", "asked_at", "found", "is_trusted"),
        [
            (1005.0, 1010.0, "another", False),
            (1005.0, 1010.0, MODEL, True),
            (995.0, 1010.0, "another", True),
        ],
        ids=["and is gone since", "and is there", "after the look"],
    )
    def test_what_another_process_saw(
        self,
        residency: Residency,
        now: list[float],
        looked_at: float,
        asked_at: float,
        found: str,
        is_trusted: bool,
    ) -> None:
        residency.used("ollama", MODEL, 4096)
        now[0] = looked_at
        residency.publish("ollama", (ResidentModel(found),))
        now[0] = asked_at

        assert (self.looks(residency) == 0) == is_trusted

    def test_a_look_of_long_ago_is_none(self, residency: Residency, now: list[float]) -> None:
        residency.publish("ollama", (ResidentModel(MODEL),))
        assert residency.seen("ollama") == (MODEL,)

        now[0] += module.FORGET_SECONDS + 1

        assert residency.seen("ollama") is None


@pytest.mark.parametrize(("loaded", "loads"), [(4096, 0), (None, 0), (8192, 1)])
def test_a_model_in_memory_with_another_context_is_loaded_anew(
    untold: Residency, loaded: int | None, loads: int
) -> None:
    server = Sized()
    held = (ResidentModel(MODEL, context_tokens=loaded),)
    server.resident_models = lambda: held  # type: ignore[method-assign]

    sized(untold, server, 4096)

    assert len(server.loads) == loads


class HoldsAnother(Sized):
    """Always lists another model than the one that was loaded."""

    def resident_models(self) -> tuple[ResidentModel, ...]:
        return (ResidentModel("another", context_tokens=4096),)


class TestWithAStrangerBesideUs:
    @pytest.fixture
    def now(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        seconds = [100.0]
        monkeypatch.setattr(load_reports, "epoch_seconds", lambda: seconds[0])
        return seconds

    @pytest.fixture
    def recorded(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        seconds: list[float] = []
        monkeypatch.setattr(Residency, "publish", lambda *told: None)
        monkeypatch.setattr(Residency, "_record", lambda self, *told: seconds.append(told[1]))
        return seconds

    @pytest.fixture
    def residency(self, shared: Shared, now: list[float]) -> Residency:
        return Residency(cast(Any, shared), clock=lambda: now[0])

    @pytest.mark.parametrize(
        ("took", "loads"),
        [
            ([2.0, 2.0], [2.0, 2.0]),  # driven out right after its load, and loaded anew
            ([4.0, 0.1], []),  # a second name, which waited for the load of the first
            ([0.1], []),  # a second name of what was in memory
        ],
    )
    def test_what_is_not_listed_after_its_load_was_driven_out_or_is_a_second_name(
        self,
        residency: Residency,
        now: list[float],
        recorded: list[float],
        monkeypatch: pytest.MonkeyPatch,
        took: list[float],
        loads: list[float],
    ) -> None:
        server = HoldsAnother()
        left = iter(took)

        def preload(*told: Any, **more: Any) -> float:
            now[0] += (seconds := next(left))
            return seconds

        monkeypatch.setattr(server, "preload", preload)

        assert sized(residency, server, 4096) == sum(loads)
        assert recorded == loads
        assert list(left) == []

    def test_a_model_that_is_loaded_anew_is_not_loaded_beside(
        self, residency: Residency, recorded: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was driven out right after its load: whoever needs it, too, waits for the repeated
        load."""
        server = HoldsAnother()
        loads: list[float] = []

        def preload(*told: Any, **more: Any) -> float:
            loads.append(2.0)
            if len(loads) == 2:
                gone = CancelToken()
                gone.cancel("it need not wait longer")
                with pytest.raises(CallCancelled):
                    residency.ensure(
                        cast(Any, server), MODEL, 4096, deadlines=Deadlines(), cancel=gone
                    )
            return 2.0

        monkeypatch.setattr(server, "preload", preload)
        sized(residency, server, 4096)

        assert recorded == loads == [2.0, 2.0]

    @pytest.mark.parametrize("told_in", [1, 2])
    def test_a_load_that_a_call_beside_told_of_is_not_counted_again(
        self,
        residency: Residency,
        now: list[float],
        recorded: list[float],
        monkeypatch: pytest.MonkeyPatch,
        told_in: int,
    ) -> None:
        loads = [2.0, 4.6]
        server = HoldsAnother()
        left = iter(loads)

        def preload(*told: Any, **more: Any) -> float:
            now[0] += (seconds := next(left))
            if seconds == loads[told_in - 1]:
                residency.loaded_inside(
                    "ollama", MODEL, 4096, load_seconds=seconds, call_seconds=seconds
                )
            return seconds

        monkeypatch.setattr(server, "preload", preload)
        sized(residency, server, 4096)

        assert sorted(recorded) == loads

    def test_a_load_inside_calls_that_waited_for_it_together_is_one(
        self, residency: Residency, now: list[float], recorded: list[float]
    ) -> None:
        def ends(at: float, *, began: float, loaded: float) -> None:
            now[0] = at
            residency.loaded_inside(
                "ollama", MODEL, 4096, load_seconds=loaded - began, call_seconds=at - began
            )

        ends(110.0, began=100.0, loaded=104.0)
        ends(112.0, began=101.0, loaded=104.1)
        assert recorded == [4.0]
        ends(113.0, began=101.5, loaded=111.5)  # it waited as long, but another went in between
        assert recorded == [4.0, 10.0]

    @pytest.mark.parametrize(("apart", "loads"), [(1.9, 1), (4.1, 2)])
    def test_ends_less_than_half_a_load_apart_are_one_load(
        self,
        residency: Residency,
        now: list[float],
        recorded: list[float],
        apart: float,
        loads: int,
    ) -> None:
        """The clock of a starved thread is read long before its request is sent."""
        for began in (100.0, 100.0 + apart):
            now[0] = began + 6.0
            residency.loaded_inside("ollama", MODEL, 4096, load_seconds=4.0, call_seconds=6.0)

        assert len(recorded) == loads

    def test_a_load_that_two_processes_asked_for_is_one(
        self, shared: Shared, now: list[float], recorded: list[float]
    ) -> None:
        """A task and a chat that need the same model at the same moment."""

        def loaded(begins: float, seconds: float) -> float:
            class Waits(Sized):
                def preload(self, *told: Any, **more: Any) -> float:
                    now[0] = begins + seconds
                    self.context_tokens = 4096
                    return seconds

            now[0] = begins
            process = Residency(cast(Any, shared), clock=lambda: now[0])
            return sized(process, Waits(), 4096)

        assert loaded(100.0, 4.0) == 4.0
        assert loaded(103.0, 1.02) == 1.02
        assert recorded == [4.0]
        assert loaded(104.5, 4.0) == 4.0
        assert recorded == [4.0, 4.0]

    @pytest.mark.parametrize(("known", "loads"), [(True, 1), (False, 2)])
    def test_a_load_that_calls_of_two_names_of_one_model_tell_of_is_one(
        self,
        residency: Residency,
        now: list[float],
        recorded: list[float],
        known: bool,
        loads: int,
    ) -> None:
        server = HoldsAnother()
        if known:
            server.preload = lambda *told, **more: 0.1  # type: ignore[method-assign]
            sized(residency, server, 4096)

        now[0] = 106.0
        for name in (MODEL, "another"):
            residency.loaded_inside("ollama", name, 4096, load_seconds=4.0, call_seconds=6.0)

        assert recorded == [4.0] * loads
