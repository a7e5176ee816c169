"""Any sequence of requests is answered as by a plain model that lets the older ones go first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.admission.slots import Slots
from tests.support.embedded import Server

MODEL_DB = 5
BACKENDS = ("ollama", "mlx")
PROCESSES = ("a", "b", "c")


@dataclass(frozen=True, slots=True)
class Request:
    """Odd holders are heavy ones."""

    process: str
    backend: str
    holder: int
    limit: int
    heavy_limit: int
    total_limit: int | None
    action: str

    @property
    def heavy(self) -> bool:
        return self.holder % 2 == 1

    @property
    def member(self) -> tuple[str, str]:
        return (self.backend, f"{self.holder}@{self.process}")


@dataclass
class Model:
    held: dict[tuple[str, str], bool] = field(default_factory=dict)
    waiting: dict[tuple[str, str], bool] = field(default_factory=dict)
    limits: dict[str, tuple[int, int]] = field(default_factory=dict)

    def acquire(self, request: Request) -> bool:
        self.limits[request.backend] = (request.limit, request.heavy_limit)
        granted = request.member in self.held or self._fits_after_the_older_ones(request)
        if granted:
            self.held[request.member] = request.heavy
            self.waiting.pop(request.member, None)
        elif request.action == "ask":
            self.waiting.setdefault(request.member, request.heavy)
        else:
            self.waiting.pop(request.member, None)
        return granted

    def release(self, request: Request) -> None:
        self.held.pop(request.member, None)
        self.waiting.pop(request.member, None)

    def in_use(self, backend: str) -> int:
        return sum(name == backend for name, _ in self.held)

    def _fits_after_the_older_ones(self, request: Request) -> bool:
        taken = dict(self.held)
        for member, heavy in self.waiting.items():
            if member == request.member:
                break
            # Those of other backends matter only to a bound over all of them.
            total = request.total_limit
            if self._fits(taken, member[0], heavy, total):
                taken[member] = heavy
        return self._fits(taken, request.backend, request.heavy, request.total_limit)

    def _fits(
        self, taken: dict[tuple[str, str], bool], backend: str, heavy: bool, total: int | None
    ) -> bool:
        limit, heavy_limit = self.limits[backend]
        here = [is_heavy for (name, _), is_heavy in taken.items() if name == backend]
        if len(here) >= limit or (heavy and sum(here) >= heavy_limit):
            return False
        return total is None or len(taken) < total


requests = st.builds(
    Request,
    process=st.sampled_from(PROCESSES),
    backend=st.sampled_from(BACKENDS),
    holder=st.integers(1, 4),
    limit=st.integers(0, 3),
    heavy_limit=st.integers(0, 2),
    total_limit=st.none() | st.integers(1, 5),
    action=st.sampled_from(["ask", "ask", "ask", "ask without waiting", "release"]),
)


@pytest.fixture(scope="module")
def empty_redis(server: Server) -> Iterator[redis.Redis]:
    with server.client(db=MODEL_DB) as client:
        yield client


@settings(max_examples=150)
@given(sequence=st.lists(requests, max_size=40))
def test_every_answer_is_that_of_the_plain_model(
    empty_redis: redis.Redis, sequence: list[Request]
) -> None:
    empty_redis.flushdb()
    processes = {name: Slots(empty_redis, owner=name) for name in PROCESSES}
    model = Model()

    for request in sequence:
        slots = processes[request.process]
        if request.action == "release":
            slots.release(request.backend, str(request.holder))
            model.release(request)
            continue
        admission = slots.acquire(
            request.backend,
            str(request.holder),
            limit=request.limit,
            heavy=request.heavy,
            heavy_limit=request.heavy_limit,
            total_limit=request.total_limit,
            wait=request.action == "ask",
        )

        assert admission.granted == model.acquire(request), (request, admission)
        assert admission.in_use == model.in_use(request.backend)
    for backend in BACKENDS:
        assert processes["a"].in_use(backend) == model.in_use(backend)


LIMIT, HEAVY_LIMIT, TOTAL_LIMIT = 2, 1, 3
HOLDERS = range(1, 4)
steps = st.tuples(
    st.sampled_from(["acquire", "acquire", "acquire", "lapse", "renew", "release"]),
    st.sampled_from(PROCESSES),
    st.sampled_from(BACKENDS),
    st.sampled_from(HOLDERS),
)


@settings(max_examples=150)
@given(sequence=st.lists(steps, min_size=20, max_size=40))
def test_no_limit_is_exceeded_when_slots_lapse_and_come_back(
    empty_redis: redis.Redis, sequence: list[tuple[str, str, str, int]]
) -> None:
    empty_redis.flushdb()
    processes = {name: Slots(empty_redis, owner=name) for name in PROCESSES}

    for action, process, backend, holder in sequence:
        slots = processes[process]
        if action == "acquire":
            slots.acquire(
                backend,
                str(holder),
                limit=LIMIT,
                heavy=holder % 2 == 1,
                heavy_limit=HEAVY_LIMIT,
                total_limit=TOTAL_LIMIT,
                wait=False,
            )
        elif action == "release":
            slots.release(backend, str(holder))
        elif action == "lapse":
            # As if the process had stood still for longer than a lease.
            for key in empty_redis.scan_iter("kos:slots:*:h*"):
                empty_redis.zadd(key, {f"{number}@{process}": 1 for number in HOLDERS}, xx=True)
        else:
            slots.renew()

        state = {entry.backend: entry.leases for entry in slots.inspect()}
        assert sum(len(leases) for leases in state.values()) <= TOTAL_LIMIT
        for leases in state.values():
            assert len(leases) <= LIMIT
            assert sum(lease.heavy for lease in leases) <= HEAVY_LIMIT
