"""One sentence on the whole: is all well, when is the work done, what is wrong and what helps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from console.operations.health_report import ReportedCheck
from console.operations.outlook import Eta
from console.operations.pace import Pace
from console.operations.slowness import CLOSED, SILENT, Cause
from console.operations.times import span
from console.supervision.client import ProgramStatus
from console.words import Words, in_words
from jobs.admission.backend_state import BackendState
from jobs.upkeep.health.checks import SILENT as SILENT_DETAIL
from llm.errors import BackendUnreachable
from models.states import TaskState

Say = Callable[..., str]
"""Says a sentence of ``SENTENCES`` with its values, in the language of the reader."""

SENTENCES = (
    "All is well: nothing waits.",
    "Nothing waits.",
    "Nothing waits; a new task would not start.",
    "It is not known what waits.",
    "Working: {left} left, done about {at} ({earliest}-{latest}).",
    "Working: {left} left, done about {at}.",
    "Working: {left} left.",
    "Nothing runs: {left} wait.",
    "Nothing new starts: {left} left.",
    "No problems: nothing to do.",
    "1 problem: {first}.",
    "{n} problems, the first: {first}.",
    "(for {span})",
    "tasks failed in the last hour: {n}",
    "{name} is {state}",
    "{name} does not answer",
    "{name} does not answer: its program {program} is {state}",
    "{name}: {detail}",
    "{name}, {role}: {detail}",
    "{name} is red",
    "every backend is paused by hand",
    "{name} is paused by hand",
    "{name} takes no tasks: {detail}",
    "It gets tasks again once a model answers; the log of the server says more.",
)
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
_OPEN = (TaskState.PENDING, TaskState.QUEUED, TaskState.IN_PROGRESS)
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


class VerdictLevel(StrEnum):
    """``warn``: work goes on beside a problem; ``bad``: tasks stand still, or would."""

    OK = "ok"
    BUSY = "busy"
    WARN = "warn"
    BAD = "bad"


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


@dataclass(frozen=True, slots=True)
class SystemVerdict:
    """``left`` is None where the tasks could not be counted; ``cause`` is why it is not faster."""

    level: VerdictLevel
    left: int | None
    running: int
    eta: Eta | None
    problems: tuple[Problem, ...]
    cause: Cause | None = None


UNKNOWN = SystemVerdict(VerdictLevel.BAD, None, 0, None, ())


def english(sentence: str, **values: Any) -> str:
    return sentence.format(**values) if values else sentence


def judge(
    counts: Mapping[str, int],
    problems: Iterable[Problem],
    *,
    pace: Pace,
    eta: Eta | None,
    cause: Cause | None = None,
) -> SystemVerdict:
    """``counts`` are tasks by state; ``problems`` as ``problems_of`` finds them; ``eta`` is when
    the plan expects all to be done."""
    left = sum(counts.get(state, 0) for state in _OPEN) if counts else None
    running = counts.get(TaskState.IN_PROGRESS, 0)
    found = tuple(problems)
    if pace.failed:
        found += (
            Problem(
                FAILED_HOUR,
                remedy="kos tasks --status failed",
                values={"n": pace.failed},
                page="/tasks?status=failed",
            ),
        )
    # Where nobody checks the backlog, the figures tell.
    if left and not running and not pace.per_second:
        found = tuple(replace(one, vital=one.vital or one.what == CHECKER_SILENT) for one in found)
    stopped = any(one.vital for one in found)
    expected = None if stopped or not left else eta
    why = None if stopped or not left else _as_told(cause, found)
    return SystemVerdict(_level(found, left=left), left, running, expected, found, why)


def _as_told(cause: Cause | None, problems: Sequence[Problem]) -> Cause | None:
    """A server that a problem calls silent is so here: its breaker has words of its own for it."""
    if cause is None or cause.what != CLOSED:
        return cause
    silent = {
        (one.values or {}).get("name")
        for one in problems
        if one.what in {SERVER_SILENT, SERVER_STOPPED}
    }
    return replace(cause, what=SILENT) if cause.values["name"] in silent else cause


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


def sentence(
    verdict: SystemVerdict, *, now: datetime, zone: tzinfo | None = None, say: Say = english
) -> str:
    """The verdict as one line; clock times in ``zone``, None: that of this machine."""
    parts = [_headline(verdict, now.astimezone(zone), say)]
    if verdict.problems:
        first = verdict.problems[0]
        text = first.text(say).rstrip(".")
        if first.since is not None:
            text += " " + say("(for {span})", span=span((now - first.since).total_seconds()))
        number = len(verdict.problems)
        pattern = "1 problem: {first}." if number == 1 else "{n} problems, the first: {first}."
        parts.append(say(pattern, n=number, first=text))
    elif verdict.left:
        parts.append(say("No problems: nothing to do."))
    return " ".join(parts)


def verdict_line(verdict: SystemVerdict, now: datetime, words: Words) -> str:
    """The verdict as one line in the language of ``words``."""

    return sentence(verdict, now=now, say=_say_in(words))


def cause_line(verdict: SystemVerdict, words: Words) -> str:
    """Why it is not faster, as one sentence; empty where nothing is to be said."""
    return _cause(verdict.cause, _say_in(words)) if verdict.cause else ""


def _cause(cause: Cause, say: Say) -> str:
    values = dict(cause.values)
    if "span" in values:
        values["span"] = span(values["span"])
    return say(cause.what, **values)


def _say_in(words: Words) -> Say:
    def say(pattern: str, **values: Any) -> str:
        if "span" in values:
            values["span"] = in_words(values["span"], words)
        known = {name: words(one) if isinstance(one, str) else one for name, one in values.items()}
        return words(pattern, **known)

    return say


def document(verdict: SystemVerdict, *, now: datetime) -> dict[str, Any]:
    """``{"level", "text", "cause", "eta", "problems": [{"what", "since", "remedy", "program"}]}``.

    ``eta`` is ``{"from", "to"}``, or None where nothing is left or nothing says when.
    """
    return {
        "level": verdict.level.value,
        "text": sentence(verdict, now=now),
        "cause": _cause(verdict.cause, english) if verdict.cause else None,
        "eta": {"from": verdict.eta.earliest, "to": verdict.eta.latest} if verdict.eta else None,
        "problems": [
            {
                "what": one.text(english),
                "since": one.since,
                "remedy": one.remedy,
                "program": one.program,
            }
            for one in verdict.problems
        ],
    }


def _level(problems: Sequence[Problem], *, left: int | None) -> VerdictLevel:
    if any(one.vital for one in problems):
        return VerdictLevel.BAD
    if problems:
        return VerdictLevel.WARN
    return VerdictLevel.BUSY if left else VerdictLevel.OK


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
    silent = bool(backend) and (
        detail.startswith(SILENT_DETAIL) or BackendUnreachable.code in detail
    )
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


def _headline(verdict: SystemVerdict, now: datetime, say: Say) -> str:
    if verdict.left is None:
        return say("It is not known what waits.")
    if not verdict.left:
        if verdict.level is VerdictLevel.BAD:
            return say("Nothing waits; a new task would not start.")
        return say("Nothing waits." if verdict.problems else "All is well: nothing waits.")
    if verdict.level is VerdictLevel.BAD:
        what = (
            "Nothing new starts: {left} left." if verdict.running else "Nothing runs: {left} wait."
        )
        return say(what, left=verdict.left)
    if verdict.eta is None:
        return say("Working: {left} left.", left=verdict.left)
    at, earliest, latest = (
        _clock(moment, now)
        for moment in (verdict.eta.middle, verdict.eta.earliest, verdict.eta.latest)
    )
    if earliest == latest:
        return say("Working: {left} left, done about {at}.", left=verdict.left, at=at)
    return say(
        "Working: {left} left, done about {at} ({earliest}-{latest}).",
        left=verdict.left,
        at=at,
        earliest=earliest,
        latest=latest,
    )


def _clock(moment: datetime, now: datetime) -> str:
    local = moment.astimezone(now.tzinfo)
    return local.strftime("%H:%M" if local.date() == now.date() else "%Y-%m-%d %H:%M")
