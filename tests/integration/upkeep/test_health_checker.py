"""Checks that go red with what they look at, and restarts that neither come early nor loop."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.health_checker import HealthChecker, build
from jobs.process.clock import utc_now
from jobs.queues.leadership import Leadership
from jobs.queues.names import BREAKERS, HEALTH, LIMITS, LISTENER_HEARTBEAT, WORKERS
from jobs.runtime import connect
from jobs.settings.load import load
from jobs.upkeep import canaries
from jobs.upkeep.canaries import Canaries
from jobs.upkeep.health import backends, idle_models
from jobs.upkeep.health.checks import HealthCheck
from jobs.upkeep.health.restarts import MOST_IN_WINDOW, Restarter
from llm.breaker import dumps
from llm.errors import LoadFailed, Overloaded, TruncatedStream
from llm.types import Deadlines, GenerateRequest, Message
from models import database
from tests.support.embedded import Server
from tests.support.simulators import RunningSimulator, simulator
from tests.support.system import migrate

RED_SECONDS = 30.0
MODEL = "tinyllama:1.1b-chat"
QUICK = Deadlines(first_token_seconds=0.5, between_tokens_seconds=0.5, total_seconds=1.0)


class Noted(Restarter):
    """Follows the rules, and notes what it would have restarted."""

    def _through_supervisor(self, program: str) -> None:
        RESTARTED.append(program)


RESTARTED: list[str] = []


@pytest.fixture
def server() -> Iterator[RunningSimulator]:
    with simulator("ollama", profile="instant") as running:
        yield running


@pytest.fixture
def services(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The URLs of Postgres and Redis: the test's own ones where it stops or freezes them."""

    def url(own: str, shared: str) -> str:
        if own in request.fixturenames:
            return str(request.getfixturevalue(own).url)
        return str(request.getfixturevalue(shared))

    return url("own_postgres", "migrated_url"), url("own_redis", "redis_url")


@pytest.fixture
def checker(
    services: tuple[str, str], server: RunningSimulator, tmp_path: Path
) -> Iterator[HealthChecker]:
    database_url, redis_url = services
    migrate(database_url)
    settings = load(
        {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "OLLAMA_API_URL": server.url,
            "MLX_API_URL": "off",
            "KOS_HOME": str(tmp_path),
        }
    )
    runtime = connect(replace(settings, simulated=("ollama",)), program="health-test")
    made = build(runtime)
    RESTARTED.clear()
    made.restarter = Noted(None)
    yield made
    runtime.close()
    database.close_all()


def by_name(checks: list[HealthCheck]) -> dict[str, HealthCheck]:
    return {check.name: check for check in checks}


def load_a_model(server: RunningSimulator, checker: HealthChecker) -> None:
    backend = checker.runtime.backends.get("ollama")
    backend.preload(MODEL, num_ctx=None, deadlines=Deadlines(), cancel=None)


def test_what_answers_is_green_and_is_written_with_a_time_to_live(checker: HealthChecker) -> None:
    checks = by_name(checker.round())

    assert checks["postgres"].ok
    assert checks["redis"].ok
    assert checks["backend:ollama"].ok
    stored = checker.runtime.redis.get(HEALTH)
    assert stored is not None
    assert {one["name"] for one in json.loads(stored)["checks"]} == set(checks)
    assert 0 < checker.runtime.redis.ttl(HEALTH) <= 60


def test_a_checker_that_stands_by_publishes_and_decides_nothing(checker: HealthChecker) -> None:
    assert Leadership(checker.runtime.redis, "health", 60, owner="studio:1:1/10/20").holds()

    assert by_name(checker.round())["postgres"].ok

    assert checker.runtime.redis.get(HEALTH) is None
    assert checker.runtime.redis.hgetall(LIMITS) == {}
    assert checker.seconds_to_next_limits() > 0  # else its rounds would follow without a pause


def test_programs_that_left_no_mark_are_red_and_say_how_to_start(checker: HealthChecker) -> None:
    checks = by_name(checker.round())

    for name in ("scheduler", "listener", "jobs:control", "jobs:llm-ollama"):
        assert not checks[name].ok
        assert "kos ctl start" in checks[name].remedy


def test_a_postgres_that_is_away_is_red(checker: HealthChecker, own_postgres: Server) -> None:
    own_postgres.kill()

    checks = by_name(checker.round())

    assert not checks["postgres"].ok
    assert not checks["backlog"].ok


def test_what_cannot_be_checked_without_redis_is_red(
    checker: HealthChecker, own_redis: Server
) -> None:
    own_redis.kill()

    checks = by_name(checker.round())

    assert not checks["redis"].ok
    for name in ("scheduler", "listener", "workers"):
        assert checks[name].detail.startswith("cannot be checked")
    own_redis.start()
    assert by_name(checker.round())["redis"].ok


def test_a_backend_that_is_away_is_red_and_green_when_it_is_back(
    checker: HealthChecker, server: RunningSimulator
) -> None:
    assert by_name(checker.round())["backend:ollama"].ok
    for seconds in (1.0, 4.0, 16.0):  # a busy machine may look when the first is over
        server.fault("refuse", seconds=seconds)
        red = by_name(checker.round())["backend:ollama"]
        if not red.ok:
            break

    assert not red.ok
    assert "kos logs servers:simulator-ollama" in red.remedy

    deadline = time.monotonic() + 60
    while not by_name(checker.round())["backend:ollama"].ok:
        assert time.monotonic() < deadline


def test_dead_generation_behind_a_green_health_is_hung_after_two_canaries(
    checker: HealthChecker, server: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_a_model(server, checker)
    assert "a token of" in by_name(checker.round())["backend:ollama"].detail
    monkeypatch.setattr(backends, "CANARY_DEADLINES", QUICK)
    server.fault("dead")

    first = by_name(checker.round())["backend:ollama"]
    second = by_name(checker.round())["backend:ollama"]

    assert (first.ok, first.hung) == (False, None)
    assert (second.ok, second.hung) == (False, "servers:simulator-ollama")
    assert RESTARTED == ["servers:simulator-ollama"]
    assert checker.runtime.slots.in_use("ollama") == 0


def loaded_for(server: RunningSimulator, checker: HealthChecker, keep_alive: str | int) -> None:
    """A model in memory as a task leaves it there: a context of its own, and a keep-alive."""
    request = GenerateRequest(
        MODEL, (Message("user", "Hello?"),), max_tokens=5, num_ctx=16384, keep_alive=keep_alive
    )
    checker.runtime.backends.get("ollama").generate(request, deadlines=Deadlines())


def test_a_canary_leaves_the_model_in_memory_as_it_is(
    checker: HealthChecker, server: RunningSimulator
) -> None:
    loaded_for(server, checker, -1)
    before = checker.runtime.scanner.residents("ollama")

    assert "a token of" in by_name(checker.round())["backend:ollama"].detail
    assert [one.context_tokens for one in checker.runtime.scanner.residents("ollama")] == [16384]
    assert [one.context_tokens for one in before] == [16384]
    assert server.stats()["models"][MODEL]["loads"] == 1


def test_an_idle_model_is_left_to_expire(
    checker: HealthChecker, server: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle_models, "TRIED_SECONDS", 0.0)
    loaded_for(server, checker, "2h")
    before = server.stats()["requests"]

    check = by_name(checker.round())["backend:ollama"]

    assert check.ok
    assert check.detail == f"reachable; {MODEL} is idle, left to expire"
    assert server.stats()["requests"] == before


@pytest.mark.parametrize("model", [None, MODEL])
def test_a_breaker_is_probed_with_the_model_in_memory_as_it_is(
    checker: HealthChecker, server: RunningSimulator, model: str | None
) -> None:
    loaded_for(server, checker, -1)
    breakers = checker.runtime.breakers
    error = LoadFailed if model else Overloaded
    breakers.failed("ollama", model, error("at once", retry_after_seconds=0.0))
    assert breakers.due_probes()

    assert canaries_of(checker).probe_due()

    assert server.stats()["models"][MODEL]["loads"] == 1


def open_breaker(checker: HealthChecker, *, seconds_ago: float) -> None:
    """As three broken answers open it, with its canary due now."""
    breakers = checker.runtime.breakers
    for _ in range(3):
        breakers.failed("ollama", MODEL, TruncatedStream("broke off"))
    state = breakers.states()["ollama"]
    opened_at = utc_now() - timedelta(seconds=seconds_ago)
    past = replace(state, opened_at=opened_at, retry_at=opened_at)
    checker.runtime.redis.hset(BREAKERS, "ollama", dumps(past))
    breakers.read_again()


def test_one_model_that_breaks_off_does_not_close_its_server_to_the_others(
    checker: HealthChecker, server: RunningSimulator
) -> None:
    load_a_model(server, checker)
    server.fault("truncate", model=MODEL, after_tokens=0)
    open_breaker(checker, seconds_ago=1.0)

    assert canaries_of(checker).probe_due()

    assert checker.runtime.breakers.blocked("ollama") is None
    (scanned,) = checker.runtime.scanner.scan().servers
    broken = {model.name for model in scanned.models or () if model.broken}
    assert broken == {MODEL}


def test_each_probe_of_a_server_tries_other_models(
    checker: HealthChecker, server: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canaries, "SAMPLES", 1)
    server.fault("truncate", after_tokens=0)
    tried: list[set[str]] = []
    for _ in range(2):
        open_breaker(checker, seconds_ago=1.0)
        before = server.stats()["models"]
        assert not canaries_of(checker).probe_due()
        after = server.stats()["models"]
        tried.append({name for name in after if after[name] != before.get(name)})

    assert [len(names) for names in tried] == [1, 1]
    assert tried[0] != tried[1]


def test_a_server_that_gets_no_work_for_its_open_breaker_is_red(
    checker: HealthChecker, server: RunningSimulator
) -> None:
    open_breaker(checker, seconds_ago=1.0)
    assert by_name(checker.round())["backend:ollama"].ok

    open_breaker(checker, seconds_ago=40.0)

    red = by_name(checker.round())["backend:ollama"]
    assert not red.ok
    assert "broke off" in red.detail
    assert "kos logs servers:simulator-ollama" in red.remedy


def canaries_of(checker: HealthChecker) -> Canaries:
    runtime = checker.runtime
    return Canaries(
        runtime.backends, runtime.breakers, runtime.scanner, runtime.slots, runtime.limits
    )


@pytest.mark.parametrize("full", ["ollama", "another"])
def test_a_canary_takes_no_slot_beyond_its_backends_limit_or_that_over_all(
    checker: HealthChecker, server: RunningSimulator, full: str
) -> None:
    load_a_model(server, checker)
    limits = checker.runtime.limits
    limit = (limits.of("ollama") if full == "ollama" else limits.total).slots
    for number in range(limit):
        checker.runtime.slots.acquire(full, f"{number}:1", limit=limit)
    requests_before = server.stats()["requests"]

    assert by_name(checker.round())["backend:ollama"].ok
    assert server.stats()["requests"] == requests_before


def test_a_canary_leaves_the_heavy_limit_as_it_is(
    checker: HealthChecker, server: RunningSimulator
) -> None:
    load_a_model(server, checker)
    limit = checker.runtime.limits.of("ollama")
    assert limit.heavy < limit.slots

    assert "a token of" in by_name(checker.round())["backend:ollama"].detail

    (slots,) = checker.runtime.slots.inspect("ollama")
    assert (slots.limit, slots.heavy_limit) == (limit.slots, limit.heavy)


def test_restarts_stop_when_they_do_not_help(
    checker: HealthChecker, server: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "CANARY_DEADLINES", QUICK)
    monkeypatch.setattr("jobs.upkeep.health.restarts.FIRST_PAUSE", timedelta(0))
    load_a_model(server, checker)
    server.fault("dead")

    for _ in range(2 * MOST_IN_WINDOW + 4):
        checker.round()

    assert RESTARTED == ["servers:simulator-ollama"] * MOST_IN_WINDOW


def test_old_marks_restart_nobody_before_a_second_look(
    checker: HealthChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = (utc_now() - timedelta(hours=1)).timestamp()
    line = json.dumps({"program": "jobs:control", "queues": ["control"], "beat_at": long_ago})
    checker.runtime.redis.set(LISTENER_HEARTBEAT, long_ago)
    checker.runtime.redis.hset(WORKERS, "another-host/1/1", line)

    checker.round()
    assert RESTARTED == []

    monkeypatch.setattr("jobs.health_checker.SILENT_SECONDS", 0.0)
    checker.round()
    assert set(RESTARTED) == {"jobs:listener", "jobs:control"}


def test_no_canary_is_sent_behind_a_call_that_uses_the_server(
    checker: HealthChecker, server: RunningSimulator
) -> None:
    load_a_model(server, checker)
    sent = server.stats()["requests"]
    slots = checker.runtime.slots
    assert slots.acquire("ollama", "1:1", limit=4).granted
    server.fault("dead")

    check = by_name(checker.round())["backend:ollama"]

    assert check.ok
    assert server.stats()["requests"] == sent
    slots.release("ollama", "1:1")


def test_no_remedy_of_a_silent_server_throws_work_away(
    checker: HealthChecker, server: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "CANARY_DEADLINES", QUICK)
    load_a_model(server, checker)
    server.fault("dead")

    check = by_name(checker.round())["backend:ollama"]

    assert not check.ok
    assert "`kos pause ollama` lets what runs end" in check.remedy


def test_a_postgres_that_takes_no_write_is_red(
    checker: HealthChecker, own_postgres: Server
) -> None:
    with database.session():
        database.database.execute_sql("ALTER SYSTEM SET default_transaction_read_only = on")
        database.database.execute_sql("SELECT pg_reload_conf()")
    database.close_all()

    deadline = time.monotonic() + 10
    while by_name(checker.round())["postgres"].ok:
        assert time.monotonic() < deadline

    assert "read-only" in by_name(checker.round())["postgres"].detail


def test_a_frozen_redis_is_red_within_a_bound(checker: HealthChecker, own_redis: Server) -> None:
    assert by_name(checker.round())["redis"].ok
    own_redis.freeze()
    began = time.monotonic()
    try:
        check = by_name(checker.round())["redis"]
    finally:
        own_redis.thaw()

    assert not check.ok
    assert time.monotonic() - began < RED_SECONDS
