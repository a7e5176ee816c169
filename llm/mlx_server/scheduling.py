"""Which model is loaded next, and which are evicted for it. Pure decisions.

Times are seconds of a monotonic clock, passed by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLoad:
    """A model in memory. ``waiting`` requests are queued for it, ``active`` ones are decoded.
    ``size_bytes`` is what its eviction frees: weights, prefixes and active answers."""

    name: str
    active: int
    waiting: int
    loaded_at: float
    last_used_at: float
    size_bytes: int

    @property
    def idle(self) -> bool:
        return not self.active and not self.waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededModel:
    """A model that requests have needed since ``since`` and that is not in memory."""

    name: str
    since: float
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The limits: models at once, bytes in all, and the longest wait before busy models must
    drain."""

    max_models: int
    free_bytes: int
    limit_bytes: int
    fairness_seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to load now."""


@dataclass(frozen=True, slots=True)
class Load:
    name: str
    evict: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drain:
    """Admit nothing more to ``victims``: once they are empty, ``successor`` takes their place."""

    victims: tuple[str, ...]
    successor: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """The model can never fit."""

    name: str
    reason: str


Decision = Wait | Load | Drain | Refuse


def decide_load(
    residents: Sequence[ModelLoad], needed_models: Sequence[NeededModel], *, room: Room, now: float
) -> Decision:
    """Load the model that was needed first: into free memory, else by evicting idle models, else by
    draining busy ones.

    A busy model stays until the needed one has waited ``fairness_seconds`` and has itself
    been in memory that long, so that two busy models swap at that pace and not with every request.
    The longest resident leave first, no more than it needs.
    """
    if not needed_models:
        return Wait()
    needed = min(needed_models, key=lambda c: (c.since, c.name))
    if needed.size_bytes > room.limit_bytes:
        return Refuse(needed.name, _too_big(needed, room))
    idle = sorted((r for r in residents if r.idle), key=lambda r: r.last_used_at)
    evict = _enough(idle, residents, needed=needed, room=room)
    if evict is not None:
        return Load(needed.name, evict)
    return _take_turn(residents, needed=needed, room=room, now=now)


def _enough(
    leaving: Sequence[ModelLoad], residents: Sequence[ModelLoad], *, needed: NeededModel, room: Room
) -> tuple[str, ...] | None:
    """The first of ``leaving`` that together free enough for ``needed``, or None."""
    count, free = len(residents), room.free_bytes
    evict: list[str] = []
    for candidate in (None, *leaving):
        if candidate is not None:
            evict.append(candidate.name)
            count -= 1
            free += candidate.size_bytes
        if count < room.max_models and free >= needed.size_bytes:
            return tuple(evict)
    return None


def _take_turn(
    residents: Sequence[ModelLoad], *, needed: NeededModel, room: Room, now: float
) -> Decision:
    if now - needed.since < room.fairness_seconds:
        return Wait()
    had_their_turn = [r for r in residents if now - r.loaded_at >= room.fairness_seconds]
    busy = sorted((r for r in had_their_turn if not r.idle), key=lambda r: (r.loaded_at, r.name))
    idle = sorted((r for r in residents if r.idle), key=lambda r: r.last_used_at)
    for count in range(1, len(busy) + 1):
        victims = busy[:count]
        evict = _enough([*victims, *idle], residents, needed=needed, room=room)
        if evict is None:
            continue
        if any(victim.active for victim in victims):
            return Drain(tuple(victim.name for victim in victims), needed.name)
        return Load(needed.name, evict)
    return Wait()


def _too_big(needed: NeededModel, room: Room) -> str:
    return (
        f"model {needed.name!r} needs about {needed.size_bytes} bytes, more than the memory limit "
        f"of {room.limit_bytes} bytes (MLX_MEMORY_LIMIT_BYTES)"
    )
