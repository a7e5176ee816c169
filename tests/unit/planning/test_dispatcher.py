"""Open blocks become queued rows, messages and orders to load, each server in its turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from jobs.planning.current_state import CurrentState
from jobs.planning.dispatcher import Dispatcher
from jobs.policy.types import OpenBlock
from jobs.settings.load import Settings
from llm.types import Scan
from tests.support.plan_builders import NOW, key, mlx, ollama


@dataclass
class House:
    """Rows, messages and announced loads; every row that is asked for can be queued."""

    queued: list[tuple[str, int]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    announced: list[tuple[str, str]] = field(default_factory=list)

    def queue(
        self, block_id: str, count: int, *, reason: str, chosen: Sequence[int]
    ) -> list[tuple[str, int]]:
        self.queued.append((block_id, count))
        return [(f"{block_id}-{number}", 1) for number in range(count)]

    def enqueue(self, message: Any) -> None:
        self.messages.append({"actor": message.actor_name, **message.kwargs})

    def enqueue_all(self, messages: list[Any]) -> None:
        for message in messages:
            self.enqueue(message)

    def announce(self, backend: str, model: str) -> None:
        self.announced.append((backend, model))


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    made = House()
    monkeypatch.setattr("models.task.Task.queue", made.queue)
    return made


@pytest.fixture
def dispatcher(house: House) -> Dispatcher:
    parts = cast(Any, house)
    return Dispatcher(Settings(backends=(), dispatch_ahead=0), broker=parts, residency=parts)


def state(*blocks: OpenBlock, total: int, **mlx_view: Any) -> CurrentState:
    return CurrentState(Scan(NOW, ()), (), blocks, (mlx(**mlx_view), ollama()), total=total)


def test_equal_servers_are_served_in_turn(house: House, dispatcher: Dispatcher) -> None:
    waiting = [OpenBlock(name, key(name, "small"), 50) for name in ("mlx", "ollama")]

    for _ in range(4):
        assert dispatcher.dispatch(state(*waiting, total=1)) == (1, 1)

    assert house.queued == [("mlx", 1), ("ollama", 1)] * 2


def test_a_load_that_is_ordered_is_announced_so_that_no_other_order_follows(
    house: House, dispatcher: Dispatcher
) -> None:
    first, second = (OpenBlock(name, key("mlx", name), 5) for name in ("small", "coder"))
    room = {"slots": 1, "in_flight": 0, "resident": ("small",), "max_resident": 2}

    dispatcher.dispatch(state(first, second, total=10, **room))

    assert house.announced == [("mlx", "coder")]
    assert [message["actor"] for message in house.messages] == ["preload", "run_task"]
    assert house.messages[1]["heavy"] is False
