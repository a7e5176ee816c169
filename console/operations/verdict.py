"""One sentence on the whole: is all well, when is the work done, what is wrong and what helps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import StrEnum
from typing import Any

from console.operations.outlook import Eta
from console.operations.pace import Pace
from console.operations.times import span
from models.base import Row
from models.states import TaskState

Say = Callable[..., str]
"""Says a sentence of ``SENTENCES`` with its values, in the language of the reader."""

SENTENCES = (
    "All is well: nothing waits.",
    "Nothing waits.",
    "It is not known what waits.",
    "Working: {left} left, done about {at} ({earliest}-{latest}).",
    "Working: {left} left.",
    "Nothing runs: {left} wait.",
    "1 problem: {first}.",
    "{n} problems, the first: {first}.",
    "since {span}",
    "Failed in the last hour: {n}",
)
NOTHING_RUNS = "the programs are not running"
CHECKER_SILENT = "the health checker has not reported"
FAILED_HOUR = "Failed in the last hour: {n}"
_OPEN = (TaskState.PENDING, TaskState.QUEUED, TaskState.IN_PROGRESS)
_VITAL = frozenset({"postgres", "redis"})


class Level(StrEnum):
    """``warn``: work goes on beside a problem; ``bad``: it does not, or cannot for long."""

    OK = "ok"
    BUSY = "busy"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Problem:
    """``what`` may hold values: it is a sentence with ``{name}`` where ``values`` has it."""

    what: str
    since: datetime | None = None
    remedy: str | None = None
    values: Mapping[str, Any] | None = None
    vital: bool = False

    def text(self, say: Say) -> str:
        return say(self.what, **self.values) if self.values else self.what


@dataclass(frozen=True, slots=True)
class Verdict:
    """``left`` is None where the tasks could not be counted."""

    level: Level
    left: int | None
    running: int
    eta: Eta | None
    problems: tuple[Problem, ...]


def english(sentence: str, **values: Any) -> str:
    return sentence.format(**values) if values else sentence


def judge(
    counts: Mapping[str, int],
    problems: Iterable[Problem],
    *,
    pace: Pace,
    eta: Eta | None,
) -> Verdict:
    """``counts`` are tasks by state; ``problems`` as ``problems_of`` finds them; ``eta`` is when
    the plan expects all to be done."""
    left = sum(counts.get(state, 0) for state in _OPEN) if counts else None
    running = counts.get(TaskState.IN_PROGRESS, 0)
    found = tuple(problems)
    if pace.failed:
        remedy = "kos tasks --status failed --since 1h"
        found += (Problem(FAILED_HOUR, remedy=remedy, values={"n": pace.failed}),)
    stopped = any(one.vital for one in found)
    expected = None if stopped or not left else eta
    return Verdict(_level(found, left=left), left, running, expected, found)


def problems_of(health: Sequence[Row], programs: Sequence[Row] | None = None) -> list[Problem]:
    """Of red checks and of programs that do not run; the vital first.

    ``programs`` None: they were not looked at, and what the checks say of them counts.
    """
    found = [
        Problem(
            f"{row['name']} is {row['state'].lower()}",
            remedy=f"kos ctl start {row['name']}",
            vital=True,
        )
        for row in programs or ()
        if row["state"] != "RUNNING"
    ]
    if programs is not None and not programs:
        found.append(Problem(NOTHING_RUNS, remedy="kos up", vital=True))
    elif not health:
        found.append(Problem(CHECKER_SILENT, remedy="kos up", vital=True))
    found += [_of_check(row) for row in health if not row["ok"]]
    return sorted(found, key=lambda one: not one.vital)


def sentence(
    verdict: Verdict, *, now: datetime, zone: tzinfo | None = None, say: Say = english
) -> str:
    """The verdict as one line; clock times in ``zone``, None: that of this machine."""
    parts = [_headline(verdict, now.astimezone(zone), say)]
    if verdict.problems:
        first = verdict.problems[0]
        text = first.text(say).rstrip(".")
        if first.since is not None:
            text += " " + say("since {span}", span=span((now - first.since).total_seconds()))
        number = len(verdict.problems)
        pattern = "1 problem: {first}." if number == 1 else "{n} problems, the first: {first}."
        parts.append(say(pattern, n=number, first=text))
    return " ".join(parts)


def document(verdict: Verdict, *, now: datetime) -> dict[str, Any]:
    """``{"level", "text", "eta", "problems": [{"what", "since", "remedy"}]}``.

    ``eta`` is ``{"from", "to"}``, or None where nothing is left or nothing says when.
    """
    return {
        "level": verdict.level.value,
        "text": sentence(verdict, now=now),
        "eta": {"from": verdict.eta.earliest, "to": verdict.eta.latest} if verdict.eta else None,
        "problems": [
            {"what": one.text(english), "since": one.since, "remedy": one.remedy}
            for one in verdict.problems
        ],
    }


def _level(problems: Sequence[Problem], *, left: int | None) -> Level:
    if any(one.vital for one in problems):
        return Level.BAD
    if problems:
        return Level.WARN
    return Level.BUSY if left else Level.OK


def _of_check(row: Row) -> Problem:
    detail = f": {row['detail']}" if row["detail"] else ""
    return Problem(
        row["name"] + detail, row.get("since"), row["remedy"], vital=row["name"] in _VITAL
    )


def _headline(verdict: Verdict, now: datetime, say: Say) -> str:
    if verdict.left is None:
        return say("It is not known what waits.")
    if not verdict.left:
        return say("Nothing waits." if verdict.problems else "All is well: nothing waits.")
    if verdict.level is Level.BAD and not verdict.running:
        return say("Nothing runs: {left} wait.", left=verdict.left)
    if verdict.eta is None:
        return say("Working: {left} left.", left=verdict.left)
    return say(
        "Working: {left} left, done about {at} ({earliest}-{latest}).",
        left=verdict.left,
        at=_clock(verdict.eta.middle, now),
        earliest=_clock(verdict.eta.earliest, now),
        latest=_clock(verdict.eta.latest, now),
    )


def _clock(moment: datetime, now: datetime) -> str:
    local = moment.astimezone(now.tzinfo)
    return local.strftime("%H:%M" if local.date() == now.date() else "%Y-%m-%d %H:%M")
