from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llm import errors, scan_json
from llm.catalog import load_catalog
from llm.scan_cache import MemoryScanCache
from llm.scanner import Scanner
from llm.types import (
    BackendKind,
    BackendSpec,
    Category,
    ModelInfo,
    ResidentModel,
    Scan,
    ServerScan,
)

START = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
CATALOG = load_catalog()


class FakeBackend:
    """Answers from lists; ``down`` raises, ``broken`` names fail to be described."""

    def __init__(self, spec: BackendSpec, *models: ModelInfo) -> None:
        self.spec = spec
        self.name = spec.name
        self.models = models
        self.resident = (ResidentModel("qwen3:8b"),)
        self.down: errors.LLMError | None = None
        self.broken: set[str] = set()
        self.lists = 0
        self.descriptions = 0
        self.before_list: Callable[[], object] = lambda: None

    def list_models(self) -> tuple[ModelInfo, ...]:
        self.lists += 1
        self.before_list()
        if self.down is not None:
            raise self.down
        return self.models

    def resident_models(self) -> tuple[ResidentModel, ...]:
        if self.down is not None:
            raise self.down
        return self.resident

    def describe(self, model: ModelInfo) -> ModelInfo:
        self.descriptions += 1
        if model.name in self.broken:
            raise errors.ServerFailed("show failed")
        return model


class FakeBackends:
    def __init__(self, *backends: FakeBackend) -> None:
        self._backends = {backend.name: backend for backend in backends}
        self.specs = tuple(backend.spec for backend in backends)

    def get(self, name: str) -> FakeBackend:
        return self._backends[name]


class House:
    """Two servers, a clock to turn, a cache to share."""

    def __init__(self) -> None:
        self.now = START
        ollama = BackendSpec("ollama", BackendKind.OLLAMA, "http://o:1")
        mlx = BackendSpec("mlx", BackendKind.MLX, "http://m:1")
        self.ollama = FakeBackend(ollama, ModelInfo("qwen3:8b"), ModelInfo("qwen2.5-coder:7b"))
        self.mlx = FakeBackend(mlx, ModelInfo("llama3.2:3b"))
        self.cache = MemoryScanCache()

    def scanner(self, **changes: Any) -> Scanner:
        backends = FakeBackends(self.ollama, self.mlx)
        return Scanner(
            backends,  # type: ignore[arg-type]
            cache=self.cache,
            catalog=CATALOG,
            clock=lambda: self.now,
            **changes,
        )

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def house() -> House:
    return House()


def server(scan: Scan, name: str) -> ServerScan:
    found = scan.server(name)
    assert found is not None
    return found


def test_every_server_tells_its_models_and_residents(house: House) -> None:
    scan = house.scanner().scan()

    ollama = server(scan, "ollama")
    assert {model.name for model in ollama.models or ()} == {"qwen3:8b", "qwen2.5-coder:7b"}
    assert [model.name for model in ollama.resident] == ["qwen3:8b"]
    assert scan.at == START


def test_a_server_that_is_down_is_an_error_and_never_an_empty_list(house: House) -> None:
    house.mlx.down = errors.BackendUnreachable("refused")

    scan = house.scanner().scan()

    assert server(scan, "mlx").models is None
    assert server(scan, "mlx").error == "unreachable: refused"
    assert not server(scan, "mlx").reachable
    assert server(scan, "ollama").reachable


def test_a_server_without_models_is_an_empty_list_and_no_error(house: House) -> None:
    house.mlx.models = ()

    scan = house.scanner().scan()

    assert server(scan, "mlx").models == ()
    assert server(scan, "mlx").error is None


def test_each_category_picks_by_the_priority_table(house: House) -> None:
    ollama = server(house.scanner().scan(), "ollama")

    picks = {category: ollama.pick(category) for category in Category}
    names = {category: pick.name for category, pick in picks.items() if pick is not None}
    assert names[Category.CODING] == "qwen2.5-coder:7b"
    assert names[Category.DEFAULT] == names[Category.REASONING] == "qwen3:8b"


def test_a_scan_is_kept_for_two_minutes_and_across_scanners(house: House) -> None:
    first = house.scanner().scan()
    house.later(119)
    assert house.scanner().scan() == first
    assert house.ollama.lists == 1

    house.later(2)
    house.scanner().scan()
    assert house.ollama.lists == 2


def test_a_refresh_asks_the_servers_now(house: House) -> None:
    scanner = house.scanner()
    scanner.scan()
    house.ollama.models = (ModelInfo("new:1b"),)
    house.later(1)

    scan = scanner.scan(refresh=True)

    assert [model.name for model in server(scan, "ollama").models or ()] == ["new:1b"]


def test_callers_at_once_share_one_scan(house: House) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        inside.set()
        go_on.wait(10.0)

    house.ollama.before_list = hold
    scanner = house.scanner()
    scans = []
    threads = [threading.Thread(target=lambda: scans.append(scanner.scan())) for _ in range(6)]
    for thread in threads:
        thread.start()
    assert inside.wait(10.0)
    go_on.set()
    for thread in threads:
        thread.join(10.0)

    assert len(scans) == 6
    assert house.ollama.lists == 1


def test_a_model_that_cannot_be_described_is_set_aside_with_the_reason(house: House) -> None:
    house.ollama.broken = {"qwen3:8b"}

    ollama = server(house.scanner().scan(), "ollama")

    broken = {model.name: model.broken for model in ollama.models or ()}
    assert broken == {"qwen3:8b": "server_failed: show failed", "qwen2.5-coder:7b": None}
    assert ollama.pick(Category.DEFAULT).name == "qwen2.5-coder:7b"  # type: ignore[union-attr]


def test_how_long_a_scan_serves_can_be_chosen(house: House) -> None:
    scanner = house.scanner(fresh_seconds=10.0)
    first = scanner.scan()
    house.later(9)
    assert scanner.scan() == first
    house.later(2)
    assert scanner.scan() != first


def test_a_model_is_described_once(house: House) -> None:
    scanner = house.scanner()
    scanner.scan()
    described = house.ollama.descriptions
    house.later(500)
    scanner.scan()

    assert house.ollama.descriptions == described == 2


def test_a_failed_canary_leaves_the_model_out_over_several_scans(house: House) -> None:
    house.scanner().scan()
    house.scanner().quarantine("ollama", "qwen3:8b", "canary: stall_timeout", seconds=600)

    def broken() -> str | None:
        models = server(house.scanner().scan(), "ollama").models or ()
        return next(model.broken for model in models if model.name == "qwen3:8b")

    assert broken() == "canary: stall_timeout"
    house.later(300)
    assert broken() == "canary: stall_timeout"
    house.later(301)
    assert broken() is None


def test_a_model_that_another_process_sets_aside_during_a_scan_stays_out(house: House) -> None:
    other = house.scanner()
    other.quarantine("mlx", "llama3.2:3b", "known before")
    house.ollama.before_list = lambda: other.quarantine("ollama", "qwen3:8b", "load failed")

    scans = [house.scanner().scan(refresh=True), house.scanner().scan()]

    for scan in scans:
        found = {model.name: model.broken for found in scan.servers for model in found.models or ()}
        assert found["qwen3:8b"] == "load failed"
        assert found["llama3.2:3b"] == "known before"


def test_a_missing_server_is_told_once_in_five_minutes_with_how_to_start_it(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    house.mlx.down = errors.BackendUnreachable("refused")
    scanner = house.scanner()

    for _ in range(4):
        scanner.scan(refresh=True)
        house.later(100)
    assert caplog.text.count("backend_unreachable backend=mlx") == 2
    assert "scripts/start_mlx_api_server.sh" in caplog.text


def test_residents_are_asked_of_one_server_only(house: House) -> None:
    assert house.scanner().residents("ollama") == house.ollama.resident
    assert house.ollama.lists == 0


@pytest.mark.parametrize("text", ["", "junk", "{}", '{"scan": "{}", "asides": []}', "[]", "null"])
def test_a_cache_that_holds_something_else_means_a_new_scan(house: House, text: str) -> None:
    house.cache.write(text, 100.0)

    assert server(house.scanner().scan(), "ollama").reachable


def test_a_scan_survives_being_written_down(house: House) -> None:
    house.mlx.down = errors.BackendUnreachable("refused")
    house.ollama.models = (
        ModelInfo(
            "a:8b",
            size_bytes=5,
            parameters=8,
            quantization="Q4",
            context_tokens=4096,
            capabilities=frozenset({"completion", "vision"}),
            family="llama",
        ),
    )
    house.ollama.resident = (ResidentModel("a:8b", 5, 4096, START, 2),)
    scan = house.scanner().scan()

    assert scan_json.loads(scan_json.dumps(scan)) == scan


def test_the_last_scan_is_told_however_old_without_asking_anyone(house: House) -> None:
    assert house.scanner().last() is None
    house.scanner().quarantine("ollama", "qwen3:8b", "canary")
    assert house.scanner().last() is None

    scan = house.scanner().scan()
    house.later(1000)

    assert house.scanner().last() == scan
    assert house.ollama.lists == 1


def test_a_scan_made_here_is_the_last_one_at_once(house: House) -> None:
    scanner = house.scanner()
    assert scanner.last() is None

    first = scanner.scan()
    assert scanner.last() == first

    scanner.quarantine("ollama", "qwen3:8b", "it generates nothing")
    last = scanner.last()
    assert last is not None
    broken = {model.name: model.broken for model in server(last, "ollama").models or ()}
    assert broken["qwen3:8b"] is not None


def test_a_kept_scan_names_only_servers_that_are_still_configured() -> None:
    house = House()
    house.scanner().scan()
    left = BackendSpec("mlx", BackendKind.MLX, "http://127.0.0.1:2")
    new = BackendSpec("new", BackendKind.OPENAI, "http://127.0.0.1:3")

    def scanner(*specs: BackendSpec) -> Scanner:
        backends: Any = FakeBackends(*(FakeBackend(spec, ModelInfo("m")) for spec in specs))
        return Scanner(backends, cache=house.cache, clock=lambda: house.now)

    of_both = scanner(left, new).last()

    assert of_both is not None
    assert [server.backend for server in of_both.servers] == ["mlx"]
    assert scanner(new).last() is None
    assert [server.backend for server in scanner(new).scan().servers] == ["new"]
