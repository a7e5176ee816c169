from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.policy.effective_limit import (
    ConcurrencyConfig,
    HostLoad,
    HostLoadError,
    ServerLoad,
    effective_limit,
)
from jobs.policy.limit_holds import Hold, LimitHolds
from llm.types import BackendKind

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
GIB = 1024**3
CONFIG = ConcurrencyConfig(adaptive=True)
IDLE = HostLoad(NOW, 0.3, 0.2, 64 * GIB, 45 * GIB, 12)
MLX = ServerLoad("mlx", BackendKind.MLX, 5, active_requests=0, max_concurrent=5, queue_size=0)
OLLAMA = ServerLoad("ollama", BackendKind.OLLAMA, 10)
CALM = LimitHolds()


def host(*, ram: float = 0.3, cpu: float = 0.2) -> HostLoad:
    return replace(IDLE, ram_fraction=ram, cpu_fraction=cpu)


def test_an_idle_machine_runs_up_to_the_ceiling() -> None:
    decision = effective_limit(IDLE, [MLX, OLLAMA], CONFIG, CALM, now=NOW)

    assert decision.n == 10
    assert (decision.limit("mlx"), decision.limit("ollama")) == (5, 10)
    assert decision.reasons == ("SMART_WORKER_MAX_CONCURRENT is 10",)
    assert not decision.backpressure


@pytest.mark.parametrize(
    ("load", "n", "reason"),
    [
        (host(ram=0.849), 10, "SMART_WORKER_MAX_CONCURRENT is 10"),
        (host(ram=0.85), 5, "halved: memory at 85.0% of the host"),
        (host(cpu=0.85), 5, "halved: CPU at 85.0% of the host"),
        (host(ram=0.899), 5, "halved: memory at 89.9% of the host"),
        (host(ram=0.90), 1, "one at a time: memory at 90.0% of the host"),
        (host(ram=0.95, cpu=0.99), 1, "one at a time: memory at 95.0% of the host"),
    ],
)
def test_a_loaded_host_lowers_the_limit(load: HostLoad, n: int, reason: str) -> None:
    decision = effective_limit(load, [MLX, OLLAMA], CONFIG, CALM, now=NOW)

    assert (decision.n, decision.reasons[0]) == (n, reason)
    assert decision.limit("ollama") == n


def test_a_host_that_cannot_be_measured_is_not_idle() -> None:
    error = HostLoadError(NOW, "no /proc")

    decision = effective_limit(error, [MLX, OLLAMA], CONFIG, CALM, now=NOW)

    assert decision.n == 5
    assert decision.reasons == ("halved: the host's load could not be measured (no /proc)",)


def test_the_sum_of_what_servers_can_take_bounds_n() -> None:
    mlx = replace(MLX, active_requests=3, max_concurrent=5)
    ollama = replace(OLLAMA, configured_limit=4)

    decision = effective_limit(IDLE, [mlx, ollama], CONFIG, CALM, now=NOW)

    assert decision.limit("mlx") == 2
    assert decision.n == 6
    assert decision.reasons == ("the servers can take 6 together",)


def test_our_own_requests_do_not_shrink_our_limit() -> None:
    busy_with_ours = replace(MLX, active_requests=4, ours=4)

    assert effective_limit(IDLE, [busy_with_ours], CONFIG, CALM, now=NOW).limit("mlx") == 5


def test_ollama_is_capped_by_its_setting() -> None:
    config = replace(CONFIG, kind_limits={BackendKind.OLLAMA: 3})

    assert effective_limit(IDLE, [OLLAMA], config, CALM, now=NOW).limit("ollama") == 3


def test_an_mlx_that_does_not_tell_its_load_gets_its_safe_number() -> None:
    silent = replace(MLX, active_requests=None, max_concurrent=None)

    assert effective_limit(IDLE, [silent], CONFIG, CALM, now=NOW).limit("mlx") == 2


def test_a_server_that_cannot_be_measured_is_overloaded_and_kept_small() -> None:
    broken = replace(MLX, error="connection refused")

    limit = effective_limit(IDLE, [broken, OLLAMA], CONFIG, CALM, now=NOW).limits["mlx"]

    assert (limit.limit, limit.overloaded) == (2, True)
    assert "connection refused" in limit.reason


def test_when_every_server_is_overloaded_nothing_new_is_dispatched() -> None:
    full = replace(MLX, active_requests=5)
    crowded = replace(OLLAMA, ours=11)

    one = effective_limit(IDLE, [full, OLLAMA], CONFIG, CALM, now=NOW)
    both = effective_limit(IDLE, [full, crowded], CONFIG, CALM, now=NOW)

    assert not one.backpressure
    assert both.backpressure
    assert both.reasons[0] == "every server is overloaded: nothing new is dispatched"
    assert "mlx: full with 5 requests of others" in both.reasons


def test_requests_that_wait_at_a_server_mean_overload() -> None:
    queued = replace(MLX, active_requests=5, ours=5, queue_size=2)

    assert effective_limit(IDLE, [queued], CONFIG, CALM, now=NOW).backpressure


def test_heavy_models_have_their_own_limit_per_server_kind() -> None:
    vllm = ServerLoad("vllm", BackendKind.OPENAI, 16)
    heavy = {BackendKind.MLX: 1, BackendKind.OLLAMA: 2}
    config = replace(CONFIG, ceiling=32, heavy_limits=heavy)

    decision = effective_limit(IDLE, [MLX, OLLAMA, vllm], config, CALM, now=NOW)

    assert [decision.heavy_limit(name) for name in ("mlx", "ollama", "vllm")] == [1, 2, 16]
    assert decision.heavy_limit("unknown") == decision.limit("unknown") == 0


def test_the_learned_knee_lowers_a_limit_and_is_named() -> None:
    ollama = replace(OLLAMA, learned_limit=4, learned_reason="8 at once were slower than 4")

    limit = effective_limit(IDLE, [ollama], CONFIG, CALM, now=NOW).limits["ollama"]

    assert (limit.limit, limit.reason) == (4, "8 at once were slower than 4")


def test_a_server_gets_one_request_more_than_it_works_on_and_that_is_said() -> None:
    narrow = replace(OLLAMA, parallelism=2)

    limit = effective_limit(IDLE, [narrow], CONFIG, CALM, now=NOW).limits["ollama"]
    assert (limit.limit, limit.reason) == (3, "3 of 10: the server answers 2 at a time")
    fixed = effective_limit(IDLE, [narrow], ConcurrencyConfig(), CALM, now=NOW).limits["ollama"]
    assert (fixed.limit, fixed.reason) == (10, "set by hand; the server answers 2 at a time")
    wide = effective_limit(IDLE, [replace(OLLAMA, parallelism=9)], CONFIG, CALM, now=NOW)
    assert wide.limit("ollama") == 10


def test_a_held_limit_is_regained_step_by_step() -> None:
    hold = Hold(2, NOW, NOW + timedelta(minutes=5), "held at 2 after it ran out of memory")
    holds = LimitHolds({"ollama": hold})

    def limit_after(minutes: float) -> int:
        at = NOW + timedelta(minutes=minutes)
        return effective_limit(IDLE, [OLLAMA], CONFIG, holds, now=at).limit("ollama")

    assert [limit_after(m) for m in (0, 4.9, 5, 5.9, 6, 7, 60)] == [2, 2, 3, 3, 4, 5, 10]


def test_a_hold_alone_is_no_backpressure() -> None:
    hold = Hold(2, NOW, NOW + timedelta(minutes=5), "held at 2 after it ran out of memory")

    decision = effective_limit(IDLE, [OLLAMA], CONFIG, LimitHolds({"ollama": hold}), now=NOW)

    assert not decision.backpressure
    assert decision.limits["ollama"].reason == "held at 2 after it ran out of memory"


def test_without_adaptation_the_configured_limits_hold() -> None:
    config = ConcurrencyConfig(adaptive=False)
    full = replace(MLX, active_requests=5)

    decision = effective_limit(host(ram=0.99), [full, OLLAMA], config, CALM, now=NOW)

    assert (decision.n, decision.limit("mlx"), decision.limit("ollama")) == (10, 5, 10)


def test_a_backend_closed_by_configuration_stays_closed() -> None:
    closed = replace(OLLAMA, configured_limit=0)

    decision = effective_limit(IDLE, [closed, MLX], CONFIG, CALM, now=NOW)

    assert decision.limit("ollama") == 0
    assert not decision.backpressure


servers = st.builds(
    ServerLoad,
    backend=st.sampled_from(["mlx", "ollama", "vllm"]),
    kind=st.sampled_from(list(BackendKind)),
    configured_limit=st.integers(0, 20),
    ours=st.integers(0, 30),
    active_requests=st.none() | st.integers(0, 30),
    max_concurrent=st.none() | st.integers(0, 20),
    queue_size=st.none() | st.integers(0, 5),
    learned_limit=st.none() | st.integers(0, 20),
    error=st.none() | st.just("refused"),
)
loads = st.builds(
    host, ram=st.floats(0, 1, allow_nan=False), cpu=st.floats(0, 1, allow_nan=False)
) | st.just(HostLoadError(NOW, "unknown"))


@given(
    load=loads,
    server_list=st.lists(servers, max_size=4),
    ceiling=st.integers(1, 40),
    adaptive=st.booleans(),
)
def test_limits_stay_within_their_bounds_and_always_have_a_reason(
    load: HostLoad | HostLoadError, server_list: list[ServerLoad], ceiling: int, adaptive: bool
) -> None:
    config = ConcurrencyConfig(ceiling=ceiling, adaptive=adaptive)

    decision = effective_limit(load, server_list, config, CALM, now=NOW)

    configured = {server.backend: server.configured_limit for server in server_list}
    assert 1 <= decision.n <= ceiling
    assert all(decision.reasons)
    for limit in decision.limits.values():
        assert 0 <= limit.heavy_limit <= limit.limit <= configured[limit.backend]
        assert limit.reason
        assert limit.limit >= 1 or configured[limit.backend] == 0
    assert decision == effective_limit(load, server_list, config, CALM, now=NOW)
