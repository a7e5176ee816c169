"""One sentence on the whole: is all well, when is the work done, what is wrong and what helps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from enum import StrEnum
from typing import Any

from console.operations import problems
from console.operations.outlook import Eta
from console.operations.pace import Pace
from console.operations.problems import (
    CHECKER_SILENT,
    FAILED_HOUR,
    SERVER_SILENT,
    SERVER_STOPPED,
    Problem,
    Say,
)
from console.operations.slowness import CLOSED, SILENT, Cause
from console.operations.times import span
from console.words import Words, in_words
from models.states import TaskState

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
    *problems.SENTENCES,
)
_OPEN = (TaskState.PENDING, TaskState.QUEUED, TaskState.IN_PROGRESS)


class VerdictLevel(StrEnum):
    """``warn``: work goes on beside a problem; ``bad``: tasks stand still, or would."""

    OK = "ok"
    BUSY = "busy"
    WARN = "warn"
    BAD = "bad"


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
