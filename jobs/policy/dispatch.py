"""How many tasks of which block to send now, which model to load ahead, and what is held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobs.policy.plan_building.memory import capacity
from jobs.policy.prompt_groups import next_tasks
from jobs.policy.types import (
    BackendView,
    BlockKey,
    DispatchDecision,
    DispatchOrder,
    OpenBlock,
    PlanningConfig,
    PolicyName,
    PreloadOrder,
    Rejected,
)


def dispatch(
    backends: Sequence[BackendView],
    blocks: Sequence[OpenBlock],
    *,
    dispatch_ahead: int,
    config: PlanningConfig,
    total: int | None = None,
) -> DispatchDecision:
    """Fill every server from the head of its lane.

    ``blocks`` are in lane order; those that still have tasks in flight but nothing to send belong
    to the input, too: they tell which models are busy. A server holds
    ``slots + dispatch_ahead`` tasks, and nothing is sent to a closed model. The next block begins
    where the running one has nothing left to send and the server can hold its model beside the busy
    ones; where it cannot, the server drains first, for a request for another model would only wait
    there while it holds a slot.

    All servers together hold ``total + dispatch_ahead`` tasks (None: no such bound). Where they
    could take more, urgent tasks go first, then the least full server is served; of equals, the
    one that comes first in ``backends``. A server that must load a model first gets one task for
    it: more would only hold places that others can use. A server whose slots choose by the groups
    of prompts is sent nothing ahead: the choice needs to know which slot is free.
    """
    result = _fill(backends, blocks, dispatch_ahead, config, None)
    if total is not None:
        room = max(0, total + dispatch_ahead - sum(view.in_flight for view in backends))
        if sum(order.count for order in result.orders) > room:
            shares = _shares(backends, blocks, result.orders, room, dispatch_ahead)
            result = _fill(backends, blocks, dispatch_ahead, config, shares)
    return DispatchDecision(tuple(result.orders), tuple(result.preloads), tuple(result.held))


def _fill(
    backends: Sequence[BackendView],
    blocks: Sequence[OpenBlock],
    dispatch_ahead: int,
    config: PlanningConfig,
    shares: Mapping[str, int] | None,
) -> _Result:
    """``shares`` bound how many each server is sent; None: its own limit alone."""
    result = _Result()
    heavy_at = {block.key.backend for block in blocks if block.heavy and block.in_flight > 0}
    for view in sorted(backends, key=lambda view: (view.name not in heavy_at, view.name)):
        waiting = [b for b in blocks if b.key.backend == view.name and b.remaining > 0]
        if not waiting:
            continue
        if view.unavailable is not None:
            result.hold(waiting, view.unavailable)
            continue
        waiting = _without_closed_models(view, waiting, result)
        server = _server_room(view, blocks, dispatch_ahead, shares)
        if config.policy is PolicyName.RELOAD_AWARE:
            _fill_by_block(server, waiting, blocks, heavy_at, config, result)
        else:
            _fill_in_order(server, waiting, result)
    return result


def _without_closed_models(
    view: BackendView, waiting: Sequence[OpenBlock], result: _Result
) -> list[OpenBlock]:
    """What was planned before a model closed would only fail there."""
    for block in waiting:
        if block.key.model in view.closed_models:
            result.hold([block], view.closed_models[block.key.model])
    return [block for block in waiting if block.key.model not in view.closed_models]


def _shares(
    backends: Sequence[BackendView],
    blocks: Sequence[OpenBlock],
    orders: Sequence[DispatchOrder],
    room: int,
    dispatch_ahead: int,
) -> dict[str, int]:
    """``room`` places by server, one after another; no server gets more than its orders ask."""
    urgent_blocks = {block.block_id for block in blocks if block.urgent}
    wanted = {view.name: 0 for view in backends}
    urgent = dict(wanted)
    resident = {view.name: view.resident for view in backends}
    must_load = {o.key.backend for o in orders if _must_be_loaded(o.key, resident[o.key.backend])}
    for order in orders:
        wanted[order.key.backend] += order.count
        urgent[order.key.backend] += order.count if order.block_id in urgent_blocks else 0
    granted = {view.name: 0 for view in backends}
    for _ in range(room):
        view = min(
            (view for view in backends if granted[view.name] < wanted[view.name]),
            key=lambda view: (
                granted[view.name] >= urgent[view.name],
                view.name in must_load and view.in_flight + granted[view.name] > 0,
                (view.in_flight + granted[view.name]) / (view.slots + dispatch_ahead),
            ),
        )
        granted[view.name] += 1
    return granted


def _must_be_loaded(key: BlockKey, resident: Sequence[str]) -> bool:
    """Whether the server is known to hold other models; some servers do not say what they hold."""
    return bool(resident) and key.model not in resident


@dataclass(slots=True)
class _ServerRoom:
    """``full`` is said of what finds no room."""

    view: BackendView
    busy: dict[BlockKey, int]
    running: list[int]
    room: int
    full: str


@dataclass(slots=True)
class _Result:
    orders: list[DispatchOrder] = field(default_factory=list)
    preloads: list[PreloadOrder] = field(default_factory=list)
    held: list[Rejected] = field(default_factory=list)

    def send(self, server: _ServerRoom, block: OpenBlock, count: int, reason: str) -> None:
        chosen = next_tasks(block.waiting, server.running, count)
        server.running += [block.waiting[place] for place in chosen]
        self.orders.append(DispatchOrder(block.block_id, block.key, count, reason, chosen))
        server.room -= count
        server.busy[block.key] = server.busy.get(block.key, 0) + count

    def hold(self, blocks: Sequence[OpenBlock], reason: str) -> None:
        self.held.extend(Rejected(block.block_id, reason) for block in blocks)


def _server_room(
    view: BackendView,
    blocks: Sequence[OpenBlock],
    dispatch_ahead: int,
    shares: Mapping[str, int] | None,
) -> _ServerRoom:
    mine = [block for block in blocks if block.key.backend == view.name]
    slots = view.slots + dispatch_ahead
    if view.prompt_slots is not None and any(block.waiting for block in mine):
        slots = min(view.slots, view.prompt_slots)
    room = slots - view.in_flight
    full = f"{view.name} has no free place ({view.in_flight} of {view.slots} slots before this)"
    if shares is not None and shares[view.name] < room:
        room, full = shares[view.name], "all servers together have as many tasks as they may"
    running = [group for block in mine for group in block.running]
    return _ServerRoom(view, _busy(view, mine), running, room, full)


def _busy(view: BackendView, blocks: Sequence[OpenBlock]) -> dict[BlockKey, int]:
    """Keys with tasks in flight; the view's current key where its blocks are not known."""
    busy: dict[BlockKey, int] = {}
    for block in blocks:
        if block.key.backend == view.name and block.in_flight > 0:
            busy[block.key] = busy.get(block.key, 0) + block.in_flight
    if not busy and view.in_flight > 0 and view.current is not None:
        busy[view.current] = view.in_flight
    if view.interactive is not None:
        # People use this model, or wait for it: no block may push it out of memory.
        busy.setdefault(view.interactive, 0)
    return busy


def _fill_in_order(server: _ServerRoom, waiting: Sequence[OpenBlock], result: _Result) -> None:
    """Plain queues: whatever is next goes out while there is room, whichever model it wants."""
    for place, block in enumerate(waiting):
        count = min(server.room, block.remaining)
        if count > 0:
            result.send(server, block, count, f"next in line, {count} free places")
        if count < block.remaining:
            result.hold(waiting[place:], server.full)
            return


def _fill_by_block(
    server: _ServerRoom,
    waiting: Sequence[OpenBlock],
    blocks: Sequence[OpenBlock],
    heavy_at: set[str],
    config: PlanningConfig,
    result: _Result,
) -> None:
    line = sorted(waiting, key=lambda block: not block.urgent)
    line = _without_second_heavy(server, line, heavy_at, config, result)
    for place, block in enumerate(line):
        obstacle = _obstacle(server, block)
        if obstacle is not None:
            result.hold(line[place:], obstacle)
            return
        count = min(server.room, block.remaining, _heavy_room(server, block, blocks))
        if count > 0:
            result.send(server, block, count, _why(server, block))
            if block.heavy:
                heavy_at.add(server.view.name)
        if count < block.remaining:
            _preload_next(server, block.key, line[place + 1 :], result)
        if server.room <= 0:
            result.hold(line[place + (count >= block.remaining) :], server.full)
            return
        if count < block.remaining:
            result.hold([block], f"{server.view.heavy_limit} heavy tasks at a time")


def _without_second_heavy(
    server: _ServerRoom,
    line: Sequence[OpenBlock],
    heavy_at: set[str],
    config: PlanningConfig,
    result: _Result,
) -> list[OpenBlock]:
    """While another server is heavy, this one runs its light blocks only."""
    if config.allow_two_heavy or not heavy_at - {server.view.name}:
        return list(line)
    other = min(heavy_at - {server.view.name})
    result.hold([b for b in line if b.heavy], f"{other} runs a heavy model; one at a time")
    return [block for block in line if not block.heavy]


def _obstacle(server: _ServerRoom, block: OpenBlock) -> str | None:
    """Why this block cannot begin beside what is busy, or None.

    A busy model counts even before it is resident: it will claim its memory.
    """
    others = {key for key in server.busy if key != block.key}
    if any(key.model == block.key.model for key in others):
        return f"{block.key.model} must be loaded anew with other options: draining first"
    if not others or len({key.model for key in others}) < capacity(server.view):
        return None
    names = ", ".join(sorted(key.model for key in others))
    return f"{server.view.name} drains {names} before it can run {block.key.model}"


def _resident(view: BackendView, key: BlockKey) -> bool:
    if key.model not in view.resident and key.model not in view.loading:
        return False
    current = view.current
    return current is None or current.model != key.model or current == key


def _heavy_room(server: _ServerRoom, block: OpenBlock, blocks: Sequence[OpenBlock]) -> int:
    if not block.heavy:
        return server.room
    heavy_keys = {b.key for b in blocks if b.heavy}
    return server.view.heavy_limit - sum(n for key, n in server.busy.items() if key in heavy_keys)


def _preload_next(
    server: _ServerRoom, key: BlockKey, later: Sequence[OpenBlock], result: _Result
) -> None:
    """Load the next block's model where it fits beside the busy ones."""
    following = next((block for block in later if block.key != key), None)
    if (
        following is None
        or not server.busy
        or _resident(server.view, following.key)
        or server.view.loading
    ):
        return
    needed = {busy.model for busy in server.busy} | {key.model}
    if following.key.model in needed or len(needed) >= capacity(server.view):
        return
    result.preloads.append(
        PreloadOrder(
            following.key.backend,
            following.key.model,
            following.key.num_ctx,
            f"next block; fits beside {', '.join(sorted(needed))}",
        )
    )


def _why(server: _ServerRoom, block: OpenBlock) -> str:
    if block.urgent:
        return "urgent tasks first"
    if _resident(server.view, block.key):
        return "its model is in memory"
    return "the server is free for the next block"
