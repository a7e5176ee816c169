"""Where a task that failed could go instead, by what it failed with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import redis

from jobs.planning import failover as module
from jobs.planning.failover import Failover
from jobs.settings.load import Settings
from llm.errors import BackendUnreachable, BlankAnswer, ConnectTimeout, Overloaded, ServerFailed

ROW: Any = SimpleNamespace(
    id="t", metadata={}, created_at=None, category="fast", avoid=[["b", "m"]]
)


def is_possible(
    monkeypatch: pytest.MonkeyPatch,
    error: Exception | None,
    *,
    others: tuple[str, ...] = ("b",),
    other_place: bool = False,
    up: tuple[str, ...] = ("b", "c"),
    scan: Any = None,
) -> bool:
    """For a task that failed at ``a`` and, earlier, at ``b``."""
    monkeypatch.setattr(module, "snapshot", lambda *parts, **more: None)
    monkeypatch.setattr(module, "others", lambda seen, wanted, *, than: others)
    monkeypatch.setattr(module, "has_other_place", lambda seen, wanted, *, than: other_place)
    anything: Any = SimpleNamespace(
        scan=scan or (lambda: None), models=lambda scan: (), backends=lambda scan: ()
    )
    health = {name: SimpleNamespace(reachable=name in up) for name in "abc"}
    servers: Any = SimpleNamespace(get=lambda name: SimpleNamespace(health=lambda: health[name]))
    failover = Failover(Settings(backends=()), state=anything, figures=anything, backends=servers)
    return failover.is_possible(ROW, failed=("a", "m"), error=error)


@pytest.mark.parametrize("error", [None, BlankAnswer("nothing")])
@pytest.mark.parametrize("other_place", [True, False])
def test_a_bad_answer_may_go_to_another_model_of_the_same_server(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None, other_place: bool
) -> None:
    assert is_possible(monkeypatch, error, others=(), other_place=other_place) == other_place


@pytest.mark.parametrize(("others", "possible"), [(("b",), True), ((), False)])
def test_a_fault_of_the_server_needs_another_server(
    monkeypatch: pytest.MonkeyPatch, others: tuple[str, ...], possible: bool
) -> None:
    error = ServerFailed("HTTP 500")

    assert is_possible(monkeypatch, error, others=others, other_place=True, up=()) == possible


@pytest.mark.parametrize(("others", "possible"), [(("b",), False), (("b", "c"), True)])
def test_two_overloaded_servers_do_not_pass_a_task_to_and_fro(
    monkeypatch: pytest.MonkeyPatch, others: tuple[str, ...], possible: bool
) -> None:
    assert is_possible(monkeypatch, Overloaded("busy"), others=others) == possible


@pytest.mark.parametrize("error", [BackendUnreachable("refused"), ConnectTimeout("silent")])
@pytest.mark.parametrize("up", [(), ("b",)])
def test_where_one_server_is_away_another_must_answer(
    monkeypatch: pytest.MonkeyPatch, error: Exception, up: tuple[str, ...]
) -> None:
    assert is_possible(monkeypatch, error, up=up) == bool(up)


def test_without_redis_nothing_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise redis.ConnectionError("refused")

    assert not is_possible(monkeypatch, ServerFailed("HTTP 500"), scan=away)
