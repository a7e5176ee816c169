"""What is wrong, found from checks, programs and backends: one problem for one cause."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from console.operations.health_report import ReportedCheck
from console.supervision.client import ProgramStatus
from jobs.admission.backend_state import BackendState
from jobs.upkeep.health.checks import SILENT
from llm.errors import BackendUnreachable

Say = Callable[..., str]
"""Says a sentence of a catalogue with its values, in the language of the reader."""

NOTHING_RUNS = "the programs are not running"
CHECKER_SILENT = "the health checker has not reported: nobody restarts what hangs"
FAILED_HOUR = "tasks failed in the last hour: {n}"
PROGRAM_STATE = "{name} is {state}"
SERVER_SILENT = "{name} does not answer"
SERVER_STOPPED = "{name} does not answer: its program {program} is {state}"
CHECK_SAYS = "{name}: {detail}"
PROGRAM_SAYS = "{name}, {role}: {detail}"
CHECK_RED = "{name} is red"
ALL_PAUSED = "every backend is paused by hand"
ONE_PAUSED = "{name} is paused by hand"
TRIED_AGAIN = "It gets tasks again once a model answers; the log of the server says more."
TAKES_NONE = "{name} takes no tasks: {detail}"
_VITAL = frozenset(
    {"postgres", "redis", "backlog", "infra:postgres", "infra:redis", "jobs:control"}
)
"""Checks and programs that are red where no task starts; beside others the rest goes on."""
_PROGRAMS = {"scheduler": "jobs:scheduler", "listener": "jobs:listener"}
"""By the check of their marks."""
ROLES = {
    "jobs:control": "which plans the work",
    "scheduler": "which starts recurring work",
    "listener": "which hears of new tasks",
}
WORKER_ROLE = "which sends tasks to a server"
SENTENCES = (
    FAILED_HOUR, PROGRAM_STATE, SERVER_SILENT, SERVER_STOPPED, CHECK_SAYS, PROGRAM_SAYS, CHECK_RED,
    ALL_PAUSED, ONE_PAUSED, TAKES_NONE, TRIED_AGAIN,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
    """``what`` may hold values: it is a sentence with ``{name}`` where ``values`` has it.

    ``program`` is one of ours, ``group:name``, that a restart may mend and whose log says more;
    ``page`` is that of the dashboard that shows it; ``check`` is the red check.
    """

    what: str
    since: datetime | None = None
    remedy: str | None = None
    values: Mapping[str, Any] | None = None
    vital: bool = False
    program: str | None = None
    page: str | None = None
    check: str | None = None

    def text(self, say: Say) -> str:
        values = {
            name: say(one) if isinstance(one, str) else one
            for name, one in (self.values or {}).items()
        }
        return say(self.what, **values)


def problems_of(
    health: Sequence[ReportedCheck],
    programs: Sequence[ProgramStatus] | None = None,
    servers: Mapping[str, str] = MappingProxyType({}),
    backends: Sequence[BackendState] = (),
) -> list[Problem]:
    """Of red checks, of programs that do not run, and of ``backends`` where none takes a task; the
    vital first.

    ``programs`` None: they were not looked at, and what the checks say of them counts. ``servers``
    has, by backend, the program of ours that serves it.
    """
    red_checks = [check for check in health if not check.ok]
    red = [_of_check(check, servers) for check in red_checks]
    since = {one.program: one.since for one in red if one.program}
    served = {program: backend for backend, program in servers.items()}
    found = [
        _of_program(program, since.get(program.name), served)
        for program in programs or ()
        if not program.runs
    ]
    if programs is not None and not programs:
        found.append(Problem(NOTHING_RUNS, remedy="kos up", vital=True))
    elif not health:
        found.append(Problem(CHECKER_SILENT, remedy="kos up", page="/health"))
    # One cause, one problem: what a stopped program did is not red once more.
    stopped = {one.program for one in found if one.program}
    working = {program.name: program.runs for program in programs or ()}
    no_worker = _none_left(working, "jobs:llm-")
    stands_still = no_worker or "jobs:control" in stopped | {one.program for one in red}
    found += [
        one
        for one in red
        if one.program not in stopped and not (stands_still and one.check == "backlog")
    ]
    away = {check.name.removeprefix("backend:") for check in red_checks}
    away |= {name.removeprefix("jobs:llm-") for name in stopped}
    none_open = bool(backends) and all(one.blocked or one.name in away for one in backends)
    if none_open:
        found += _closed([one for one in backends if one.name not in away], len(backends), servers)
    answering = {check.name: check.ok for check in health}
    if none_open or no_worker or _none_left(answering, "backend:"):
        found = [replace(one, vital=True) for one in found]
    return sorted(found, key=lambda one: not one.vital)


def _closed(
    backends: Sequence[BackendState], configured: int, servers: Mapping[str, str]
) -> list[Problem]:
    """Of backends that no other problem names; a pause of all is one problem."""
    paused = [one.name for one in backends if one.paused]
    if len(paused) == configured:
        remedy = ", ".join(f"kos resume {name}" for name in paused)
        return [Problem(ALL_PAUSED, remedy=remedy, page="/backends")]
    return [
        Problem(ONE_PAUSED, None, f"kos resume {one.name}", {"name": one.name}, page="/backends")
        if one.paused
        else Problem(
            TAKES_NONE,
            None,
            TRIED_AGAIN,
            {"name": one.name, "detail": _plainly(one)},
            program=servers.get(one.name),
            page="/backends",
        )
        for one in backends
    ]


def _plainly(backend: BackendState) -> str | None:
    """Why it takes nothing, without the phase of its breaker and the class of the failure."""
    why = backend.breaker_reason or ""
    return why.partition(": ")[2] or why or backend.blocked


def _none_left(well: Mapping[str, bool], kind: str) -> bool:
    """Whether there are programs or checks of this kind, and none of them is well."""
    mine = [is_well for name, is_well in well.items() if name.startswith(kind)]
    return bool(mine) and not any(mine)


def _of_program(
    program: ProgramStatus, since: datetime | None, served: Mapping[str, str]
) -> Problem:
    name = program.name
    values = {"name": served.get(name, name), "state": program.state.lower(), "program": name}
    return Problem(
        SERVER_STOPPED if name in served else PROGRAM_STATE,
        since,
        f"kos ctl start {name}",
        values,
        vital=name in _VITAL,
        program=name,
    )


def _of_check(check: ReportedCheck, servers: Mapping[str, str]) -> Problem:
    kind, _, name = check.name.partition(":")
    backend = name if kind == "backend" else ""
    detail = check.detail or ""
    values = {"name": backend or check.name, "detail": detail}
    # A breaker that its calls opened says so before the server is looked at again.
    silent = bool(backend) and (detail.startswith(SILENT) or BackendUnreachable.code in detail)
    role = ROLES.get(check.name) or (WORKER_ROLE if kind == "jobs" else None)
    if role:
        values["role"] = role
    says = PROGRAM_SAYS if role else CHECK_SAYS
    return Problem(
        SERVER_SILENT if silent else says if detail else CHECK_RED,
        check.since,
        check.remedy,
        values,
        vital=check.name in _VITAL,
        program=program_of(check.name, servers),
        check=check.name,
    )


def program_of(check: str, servers: Mapping[str, str]) -> str | None:
    """The program of ours that a check of this name looks at."""
    kind, _, name = check.partition(":")
    if kind == "backend":
        return servers.get(name)
    return check if kind == "jobs" else _PROGRAMS.get(check)
