"""Reads the state that one planning cycle works on: scan, limits, breakers, memory, open blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from jobs.admission.backend_state import BackendStates
from jobs.admission.breakers import Breakers
from jobs.admission.consumers import Consumers
from jobs.admission.limits import Limits
from jobs.admission.residency import Residency
from jobs.policy.plan_building.choices import unservable
from jobs.policy.prompt_groups import MOST_WAITING
from jobs.policy.types import BackendView, BlockKey, OpenBlock
from jobs.settings.load import Settings
from llm.scanner import Scanner
from llm.types import BackendSpec, Scan, ScannedModel, ServerScan
from models import backlog, block
from models.backlog import Unservable
from models.block import BlockInForce
from models.task_rows import InFlightTask


@dataclass(frozen=True, slots=True)
class CurrentState:
    """``total`` tasks may run at all backends together."""

    scan: Scan
    in_flight: Sequence[InFlightTask]
    blocks: Sequence[OpenBlock]
    backends: tuple[BackendView, ...]
    total: int


class StateReader:
    """Reads what the servers, Redis and Postgres say now."""

    def __init__(
        self,
        settings: Settings,
        *,
        scanner: Scanner,
        limits: Limits,
        breakers: Breakers,
        residency: Residency,
        consumers: Consumers,
    ) -> None:
        self._settings = settings
        self._scanner = scanner
        self._limits = limits
        self._breakers = breakers
        self._residency = residency
        self._states = BackendStates(breakers, limits, residency, consumers)

    def scan(self) -> Scan:
        """The last scan; a new one where there is none. Never asks the servers otherwise."""
        return self._scanner.last() or self._scanner.scan()

    def look_again(self) -> None:
        """What was read of servers, breakers and demands is out of date."""
        self._scanner.read_again()
        self._states.read_again()

    def read(self, scan: Scan) -> CurrentState:
        """Needs a session."""
        in_flight = backlog.in_flight()
        blocks = open_blocks()
        views = self.backends(scan, in_flight, blocks)
        return CurrentState(
            scan,
            in_flight,
            blocks,
            tuple(self._with_residents(view, scan) for view in views),
            self._limits.total_for_tasks,
        )

    def backends(
        self, scan: Scan, in_flight: Sequence[InFlightTask] = (), blocks: Sequence[OpenBlock] = ()
    ) -> tuple[BackendView, ...]:
        """Every configured backend: its limit, its tasks in flight, and why it may take none."""
        busy = Counter(task.backend for task in in_flight)
        # The block with tasks in flight holds its model in memory, so a plan continues with it.
        present = {one.key.backend: one.key for one in blocks if one.in_flight > 0}
        return tuple(
            self._backend(spec, scan.server(spec.name), busy[spec.name], present, blocks)
            for spec in self._settings.backends
        )

    def models(self, scan: Scan) -> list[tuple[str, int, ScannedModel]]:
        """(backend, rank in its scan, model) of every usable model."""
        return list(usable_models(scan))

    def unservable(self, state: CurrentState) -> Unservable:
        """Exclude rows whose required backend or model cannot serve now."""
        models = [(backend, model.name) for backend, _, model in self.models(state.scan)]
        return Unservable(*unservable(state.backends, models))

    def _backend(
        self,
        spec: BackendSpec,
        server: ServerScan | None,
        in_flight: int,
        present: Mapping[str, BlockKey],
        blocks: Sequence[OpenBlock],
    ) -> BackendView:
        state, total = self._states.of(spec.name, server), self._limits.total
        limit = state.limit
        unavailable = state.blocked
        # The host is overloaded: no backend may take more, whatever its own limit says.
        if unavailable is None and total.slots == 0:
            unavailable = total.reason
        if unavailable is None:
            unavailable = state.error if server is not None else "not scanned yet"
        demand = self._limits.demand(spec.name)
        return BackendView(
            name=spec.name,
            kind=spec.kind,
            slots=self._limits.for_tasks(spec.name),
            in_flight=in_flight,
            resident=tuple(model.name for model in server.resident) if server else (),
            max_resident=self._residency.holds(spec) or 1,
            heavy_limit=limit.heavy,
            current=present.get(spec.name),
            unavailable=unavailable,
            closed_models={**self._breakers.closed_models(spec.name), **_gone(server, blocks)},
            interactive=BlockKey(spec.name, demand.model, demand.num_ctx) if demand else None,
            prompt_slots=_prompt_slots(server),
        )

    def _with_residents(self, view: BackendView, scan: Scan) -> BackendView:
        spec = self._settings.backend(view.name)
        resident = self._states.of(view.name, scan.server(view.name)).resident
        holds = self._residency.holds(spec) if spec else None
        loading = self._residency.announced(view.name)
        return replace(
            view,
            resident=resident,
            max_resident=holds or max(1, len(resident)),
            # Without it, the next plan would order the same load again.
            loading=(loading,) if loading else (),
        )


def _prompt_slots(server: ServerScan | None) -> int | None:
    known = (model.prompt_slots for model in server.resident) if server else ()
    return next((slots for slots in known if slots is not None), None)


def _gone(server: ServerScan | None, blocks: Sequence[OpenBlock]) -> dict[str, str]:
    """The planned models that the server does not serve now, each with the reason."""
    if server is None or server.models is None:
        return {}
    found = {
        block.key.model: server.model(block.key.model)
        for block in blocks
        if block.key.backend == server.backend
    }
    return {
        name: model.broken or "" if model else f"{server.backend} does not list it any more"
        for name, model in found.items()
        if model is None or model.broken is not None
    }


def usable_models(scan: Scan) -> Iterator[tuple[str, int, ScannedModel]]:
    """(backend, rank in its scan, model) of all models that can chat.

    A closed backend or model is among them: a row that needs it waits for it.
    """
    for server in scan.servers:
        for rank, model in enumerate(server.models or ()):
            if model.broken is None and "embedding" not in model.info.capabilities:
                yield server.backend, rank, model


def open_blocks() -> list[OpenBlock]:
    """The open blocks in lane order. Needs a session."""
    return [_open_block(row) for row in block.open_blocks(groups=MOST_WAITING)]


def _open_block(row: BlockInForce) -> OpenBlock:
    return OpenBlock(
        block_id=row.id,
        key=BlockKey(backend=row.backend, model=row.model, num_ctx=row.num_ctx),
        remaining=row.remaining,
        in_flight=row.in_flight,
        heavy=row.heavy,
        urgent=row.urgent,
        waiting=tuple(row.waiting_groups),
        running=tuple(row.running_groups),
    )
