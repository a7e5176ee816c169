"""Which model comes into memory next, and who has to leave for it. Pure decisions.

Times are seconds of a monotonic clock, given by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLoad:
    """A model in memory. ``waiting`` requests are queued for it, ``active`` ones are decoded.

    ``size_bytes`` is all that is free once it has left: weights, prefixes and its active answers.
    """

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
class Claim:
    """A model that is wanted and not in memory, since ``since``."""

    name: str
    since: float
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What there is to give: models at once, bytes in all, and how long one may be made to wait."""

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
    """Admit nothing more to ``victims``: their place goes to ``claimant`` once all are empty."""

    victims: tuple[str, ...]
    claimant: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """The model can never fit."""

    name: str
    reason: str


Decision = Wait | Load | Drain | Refuse


def decide_load(
    residents: Sequence[ModelLoad], claims: Sequence[Claim], *, room: Room, now: float
) -> Decision:
    """Serve the oldest claim: into free room, over idle models, or over busy ones in fairness.

    A busy model keeps its place until the claim has waited ``fairness_seconds``, and itself has
    had that long: two busy models then swap at that pace, and not with every request. Of those
    that had it, the longest resident leave, no more of them than the claim needs.
    """
    if not claims:
        return Wait()
    claim = min(claims, key=lambda c: (c.since, c.name))
    if claim.size_bytes > room.limit_bytes:
        return Refuse(claim.name, _too_big(claim, room))
    idle = sorted((r for r in residents if r.idle), key=lambda r: r.last_used_at)
    evict = _enough(idle, residents, claim=claim, room=room)
    if evict is not None:
        return Load(claim.name, evict)
    return _take_turn(residents, claim=claim, room=room, now=now)


def _enough(
    leaving: Sequence[ModelLoad], residents: Sequence[ModelLoad], *, claim: Claim, room: Room
) -> tuple[str, ...] | None:
    """The first of ``leaving`` that together make room for ``claim``, or None."""
    count, free = len(residents), room.free_bytes
    evict: list[str] = []
    for candidate in (None, *leaving):
        if candidate is not None:
            evict.append(candidate.name)
            count -= 1
            free += candidate.size_bytes
        if count < room.max_models and free >= claim.size_bytes:
            return tuple(evict)
    return None


def _take_turn(residents: Sequence[ModelLoad], *, claim: Claim, room: Room, now: float) -> Decision:
    if now - claim.since < room.fairness_seconds:
        return Wait()
    had_their_turn = [r for r in residents if now - r.loaded_at >= room.fairness_seconds]
    busy = sorted((r for r in had_their_turn if not r.idle), key=lambda r: (r.loaded_at, r.name))
    idle = sorted((r for r in residents if r.idle), key=lambda r: r.last_used_at)
    for count in range(1, len(busy) + 1):
        victims = busy[:count]
        evict = _enough([*victims, *idle], residents, claim=claim, room=room)
        if evict is None:
            continue
        if any(victim.active for victim in victims):
            return Drain(tuple(victim.name for victim in victims), claim.name)
        return Load(claim.name, evict)
    return Wait()


def _too_big(claim: Claim, room: Room) -> str:
    return (
        f"model {claim.name!r} needs about {claim.size_bytes} bytes, more than the memory limit "
        f"of {room.limit_bytes} bytes (MLX_MEMORY_LIMIT_BYTES)"
    )
