"""Slots: permission to use a backend now, counted over every process and host.

A slot is a lease: a member of a sorted set in Redis whose score is its expiry by the clock of
Redis. Whoever dies stops renewing, and the slot frees itself. Every operation is one Lua script,
so it happens whole or not at all, whatever step the caller dies at.

Five rules decide who gets in:

- **The limit counts holders, not tasks.** A member is ``holder@owner``. When a message is delivered
  twice, two processes hold two slots, and the one that gives up cannot free the slot of the other.
- **First come, first served.** A denied caller keeps its place in a queue for ``place_seconds``
  after its last request. A newcomer gets only what those before it leave. The place of a caller
  that stops asking lapses, so a dead process holds nobody up for longer. Heavy callers count only
  as far as the heavy limit would admit them, so a light one never waits for one that cannot start.
- **A model that people wait for keeps others out.** While :meth:`Slots.admit_only` holds for a
  backend, a task of another model is denied there and keeps no place.
- **Redis may forget.** Each process remembers the generation of the Redis it knows (its first use)
  and the highest grant number it received. A younger generation or a lower number means that slots
  were lost. Then the process reports its slots at once, and nothing new is granted for
  ``renew_seconds``, within which every other live process reports too. A process that has known no
  Redis yet assumes the same while tasks run; at the first start none does, and nobody waits.
- **A slot that lapsed while its holder was frozen** is restored when every limit leaves room: that
  of the backend, of its heavy models and of all backends. Otherwise it is lost, and its holder must
  stop its call. The same holds for a holder that reports after those ``renew_seconds``.

The clock of Redis is trusted: if it jumps ahead by more than a lease, live slots lapse until the
next renewal. The scripts compose their keys, so this needs one Redis, not a cluster.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import redis

from jobs.process.owners import process_is_gone, process_owner

INTERACTIVE_PREFIX = "chat:"
"""The prefix of holders that stand for requests of people."""
POLL_SECONDS = 0.5
"""A denied caller asks again at least this often."""
PLACE_SECONDS = 2.0
"""How long its place in the queue outlasts its last request."""

ANOTHER_GENERATION = -1
"""Stands for the generation of a Redis that others may have known."""


@dataclass(frozen=True, slots=True)
class SlotDecision:
    """The answer to one request for a slot.

    ``grant_number`` grows with every grant, also over a loss of Redis; 0 when denied. ``in_use``
    and ``heavy_in_use`` include a slot that was just granted. ``retry_in_seconds`` is when to ask
    again at the latest to keep one's place; None when granted or when no place was kept.
    """

    granted: bool
    grant_number: int
    in_use: int
    heavy_in_use: int
    limit: int
    reason: str
    retry_in_seconds: float | None


@dataclass(frozen=True, slots=True)
class SlotLease:
    """A slot as it stands in Redis. ``owner`` names the process that renews it."""

    backend: str
    holder: str
    owner: str
    heavy: bool
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class BackendSlots:
    """One backend as it stands in Redis; ``limit`` is that of the last request."""

    backend: str
    limit: int
    heavy_limit: int
    waiting: int
    leases: tuple[SlotLease, ...]

    @property
    def chats(self) -> int:
        """How many of the slots people's requests hold."""
        return sum(lease.holder.startswith(INTERACTIVE_PREFIX) for lease in self.leases)


class Slots:
    """The slots of every backend, seen from one process.

    ``client`` may decode responses or not. ``lease_seconds`` is how long the slot of a dead process
    stays taken. ``renew_seconds`` is a promise: the process calls :meth:`renew` at least that
    often. ``owner`` names the process; left out, it is host, pid and start time, and is found
    anew after a fork. ``calls_may_run`` tells, before the first grant to this process, whether
    calls may be running whose slots a new Redis does not know. Safe for threads. Every method
    raises ``redis.RedisError`` when Redis does not answer.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        lease_seconds: float = 60.0,
        renew_seconds: float = 5.0,
        place_seconds: float = PLACE_SECONDS,
        prefix: str = "kos:slots",
        owner: str | None = None,
        calls_may_run: Callable[[], bool] = lambda: False,
    ) -> None:
        self._lease_ms = int(lease_seconds * 1000)
        self._grace_ms = int(renew_seconds * 1000)
        self._place_ms = int(place_seconds * 1000)
        self._client = client
        self._prefix = prefix
        self._fixed_owner = owner
        self._found_owner = (0, "")
        self._scripts = {
            name: client.register_script(_source(name))
            for name in ("acquire", "renew", "release", "inspect")
        }
        self._held: dict[tuple[str, str], tuple[bool, int]] = {}
        self._unsettled: set[tuple[str, str]] = set()
        self._settling = threading.Lock()
        self._last_in_use: dict[str, int] = {}
        self._calls_may_run = calls_may_run
        self._known_generation = 0
        self._known_grant = 0

    @property
    def freed_channel(self) -> str:
        """The pub/sub channel that carries a backend's name whenever one of its slots frees."""
        return f"{self._prefix}:freed"

    @property
    def owner(self) -> str:
        """The name under which this process holds slots."""
        if self._fixed_owner is not None:
            return self._fixed_owner
        if self._found_owner[0] != os.getpid():
            self._found_owner = (os.getpid(), process_owner())
        return self._found_owner[1]

    def acquire(
        self,
        backend: str,
        holder: str,
        *,
        limit: int,
        heavy: bool = False,
        heavy_limit: int | None = None,
        total_limit: int | None = None,
        wait: bool = True,
        reserved: int = 0,
        total_reserved: int = 0,
        model: str = "",
    ) -> SlotDecision:
        """Ask for a slot of ``backend`` for ``holder`` (``<task id>:<epoch>``).

        Another request for a slot that is held extends it, so a lost reply costs nothing.
        ``heavy_limit`` bounds the heavy holders of this backend and should be passed with every
        request, ``total_limit`` bounds the slots of all backends together. A denied caller with
        ``wait`` keeps its place if it asks again within ``retry_in_seconds``; one that gives up
        calls :meth:`release`. ``wait=False`` keeps no place.

        A holder that begins with :data:`INTERACTIVE_PREFIX` goes before all others, and only such a
        one is granted the last ``reserved`` slots of the backend and the last ``total_reserved``
        of all. Any other is denied while :meth:`admit_only` names models of the backend and not
        ``model``; an empty ``model`` skips that check.
        """
        heavy_bound = limit if heavy_limit is None else heavy_limit
        total_bound = -1 if total_limit is None else total_limit
        request = (backend, self._member(holder), limit, int(heavy), heavy_bound, total_bound)
        times = (self._lease_ms, self._place_ms, self._grace_ms)
        known = (self._known_generation or self._first_generation(), self._known_grant)
        people = (reserved, model, total_reserved)
        self._settle_releases()
        with self._unsettled_on_error(backend, holder):
            answer = self._run("acquire", [*request, *times, *known, int(wait), *people])
        granted, grant_number, in_use, heavy_in_use = (int(value) for value in answer[:4])
        self._last_in_use[backend] = in_use
        code, ahead, closed_ms = _text(answer[4]), int(answer[5]), int(answer[6])
        if granted:
            self._held[backend, holder] = (heavy, limit)
        self._remember(int(answer[7]), grant_number)
        if int(answer[8]):
            self.renew()
        bounds = {"full": limit, "heavy_full": heavy_bound, "total_full": total_bound}
        reason = _reason(code, bounds.get(code, 0), ahead=ahead, closed_ms=closed_ms)
        keeps_place = wait and not granted and code != "gives_way"
        retry = POLL_SECONDS if keeps_place else None
        return SlotDecision(bool(granted), grant_number, in_use, heavy_in_use, limit, reason, retry)

    def renew(self, holders: Mapping[str, Sequence[str]] | None = None) -> tuple[str, ...]:
        """Extend the slots of this process in one round trip; all of them by default.

        ``holders`` maps a backend to holders that were granted here; others are left alone.
        Slots that Redis lost are put back. Returns the holders whose slot lapsed and was given
        to somebody else: their calls must stop.
        """
        self._settle_releases()
        held = dict(self._held)
        wanted = list(held) if holders is None else _pairs(holders)
        renewals = [(pair, held[pair]) for pair in wanted if pair in held]
        if not renewals:
            return ()
        arguments: list[Any] = [
            self._lease_ms, self._grace_ms, self._known_generation, self._known_grant
        ]  # fmt: skip
        for (backend, holder), (heavy, limit) in renewals:
            arguments += [backend, self._member(holder), int(heavy), limit]
        answer = self._run("renew", arguments)
        self._remember(int(answer[0]), int(answer[1]))
        return self._take_note([pair for pair, _ in renewals], [int(code) for code in answer[2:]])

    def release(self, backend: str, holder: str) -> int:
        """Give back the slot of ``holder``, or its place in the queue.

        Returns the free slots of ``backend`` afterwards; publishes to :attr:`freed_channel`.
        Releasing what is not held does nothing. When Redis does not answer, the release is
        repeated with the next request or renewal.
        """
        self._held.pop((backend, holder), None)
        with self._unsettled_on_error(backend, holder):
            return int(self._run("release", [backend, self._member(holder)])[1])

    def admit_only(self, backend: str, models: Iterable[str], *, seconds: float) -> None:
        """Deny slots of ``backend`` to tasks of other models for ``seconds``."""
        key = f"{self._prefix}:{backend}:admitted"
        with self._client.pipeline(transaction=True) as pipe:
            pipe.delete(key)
            pipe.sadd(key, *models)
            pipe.pexpire(key, int(seconds * 1000))
            pipe.execute()

    def admit_all(self, backend: str) -> None:
        """Tasks of every model may start again."""
        self._client.delete(f"{self._prefix}:{backend}:admitted")

    def holders(self, backend: str) -> tuple[SlotLease, ...]:
        """The live slots of ``backend``, earliest expiry first."""
        return self.inspect(backend)[0].leases

    def in_use(self, backend: str) -> int:
        """How many slots of ``backend`` are held now."""
        return len(self.holders(backend))

    def last_in_use(self, backend: str) -> int:
        """How many were held at the last request of this process; costs no round trip."""
        return self._last_in_use.get(backend, 0)

    def inspect(self, *backends: str) -> tuple[BackendSlots, ...]:
        """The slots of the named backends as Redis has them; without names, of every backend that
        ever had a request."""
        answer = self._run("inspect", list(backends))
        return tuple(_backend_slots(entry) for entry in answer[1:])

    def sweep(self, is_gone: Callable[[str], bool] | None = None) -> int:
        """Free the slots of processes that are known to be dead; returns how many.

        Lapsed leases free themselves; this only spares the wait for a lease. ``is_gone`` judges an
        owner, by default :func:`process_is_gone`, which knows the processes of this host.
        """
        judge = is_gone or process_is_gone
        freed = 0
        for state in self.inspect():
            owners = {lease.owner for lease in state.leases}
            gone = {owner for owner in owners if judge(owner)}
            orphans = [f"{x.holder}@{x.owner}" for x in state.leases if x.owner in gone]
            if orphans:
                freed += int(self._run("release", [state.backend, *orphans])[0])
        return freed

    def _run(self, name: str, arguments: list[Any]) -> Any:
        return self._scripts[name](keys=[self._prefix], args=arguments)

    def _member(self, holder: str) -> str:
        return f"{holder}@{self.owner}"

    def _first_generation(self) -> int:
        return ANOTHER_GENERATION if self._calls_may_run() else 0

    def _remember(self, generation: int, grant_number: int) -> None:
        if generation != self._known_generation:
            self._known_generation, self._known_grant = generation, grant_number
        else:
            self._known_grant = max(self._known_grant, grant_number)

    @contextmanager
    def _unsettled_on_error(self, backend: str, holder: str) -> Iterator[None]:
        """If Redis does not answer, the slot may be taken or not. Remember it for release."""
        try:
            yield
        except redis.RedisError:
            if (backend, holder) not in self._held:
                self._unsettled.add((backend, holder))
            raise
        self._unsettled.discard((backend, holder))

    def _settle_releases(self) -> None:
        if not self._unsettled:
            return
        # Under a lock, so that a late release cannot hit the slot that the same holder got since.
        with self._settling:
            for backend, holder in tuple(self._unsettled):
                self.release(backend, holder)

    def _take_note(self, pairs: list[tuple[str, str]], codes: list[int]) -> tuple[str, ...]:
        lost = []
        for pair, code in zip(pairs, codes, strict=True):
            # A slot released by another thread while the renewal was on its way was put back.
            released_meanwhile = pair not in self._held
            if released_meanwhile and code == 2:
                self.release(*pair)
            elif code == 0 and not released_meanwhile:
                self._held.pop(pair, None)
                lost.append(pair[1])
        return tuple(lost)


def _source(name: str) -> str:
    folder = resources.files("jobs.admission") / "lua"
    common = (folder / "slots_common.lua").read_text(encoding="utf-8")
    return common + "\n" + (folder / f"slots_{name}.lua").read_text(encoding="utf-8")


def _pairs(holders: Mapping[str, Iterable[str]]) -> list[tuple[str, str]]:
    return [(backend, holder) for backend, names in holders.items() for holder in names]


def _reason(code: str, bound: int, *, ahead: int, closed_ms: int) -> str:
    texts = {
        "granted": "a slot was free",
        "held": "already held by this process",
        "full": f"all {bound} slots are in use",
        "heavy_full": f"all {bound} slots for heavy models are in use",
        "total_full": f"all {bound} slots over all backends are in use",
        "kept": "the rest is kept for people",
        "gives_way": "its model would push out one that people use",
        "queued": f"{ahead} asked before",
        "recovering": f"Redis lost its slots; holders have {closed_ms / 1000:.1f} s to report",
    }
    return texts[code]


def _backend_slots(entry: Sequence[Any]) -> BackendSlots:
    backend, heavy_members = _text(entry[0]), {_text(member) for member in entry[5]}
    flat = [_text(value) for value in entry[4]]
    leases = tuple(
        SlotLease(
            backend=backend,
            holder=member.rpartition("@")[0],
            owner=member.rpartition("@")[2],
            heavy=member in heavy_members,
            expires_at=datetime.fromtimestamp(float(expiry_ms) / 1000, tz=UTC),
        )
        for member, expiry_ms in zip(flat[::2], flat[1::2], strict=True)
    )
    return BackendSlots(backend, int(entry[1]), int(entry[2]), int(entry[3]), leases)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
