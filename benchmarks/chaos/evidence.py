"""What happened, from two sides that know nothing of each other: the rows and the model servers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.chaos.harms import Freeze
from benchmarks.chaos.stage import LEASE_SECONDS, LIMITS, TOTAL_LIMIT, Stage
from jobs.process.owners import process_owner

CLOSES_WITHIN_SECONDS = 2.0
STANDSTILL_SECONDS = 5 * LEASE_SECONDS
"""A row that recovery forgot stands still for ever; on a busy machine several harms add up."""
JOURNAL = 20_000
DEATH = "its worker process died"
UNWRITTEN = ("lost", "interrupted", "taken_over")


@dataclass(frozen=True, slots=True)
class Call:
    """One request as the model server saw it; ``held`` by a frozen process in these spans.

    ``whole``: it sent its answer to the end.
    """

    backend: str
    ticket: str | None
    from_at: float
    to_at: float
    held: tuple[tuple[float, float], ...] = ()
    whole: bool = False
    outcome: str = ""


@dataclass
class Findings:
    """The end conditions, each with its evidence. ``wrong`` holds what must not be."""

    tasks: Counter[str] = field(default_factory=Counter)
    attempts: Counter[str] = field(default_factory=Counter)
    most_at_once: dict[str, int] = field(default_factory=dict)
    most_with_frozen: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    taken_from_frozen: int = 0
    whole_answers: int = 0
    thrown_away: int = 0
    deaths_told: int = 0
    crashes: int = 0
    poison: int = 0
    wrong: list[str] = field(default_factory=list)

    def must(self, holds: bool, complaint: str) -> None:
        if not holds:
            self.wrong.append(complaint)


def gather(
    stage: Stage, *, tasks: int, freezes: Sequence[Freeze], standing: tuple[float, float]
) -> Findings:
    """Judge a stage that came to rest. ``standing`` is (running, queued) of the watch, seconds."""
    found = Findings()
    _judge_rows(found, stage, tasks)
    attempts = stage.system.sql(
        "SELECT task_id::text, epoch, worker, outcome, error FROM kos_attempts"
    )
    found.attempts.update(str(row["outcome"]) for row in attempts)
    _judge_ledger(found, stage, attempts)
    calls = _calls(stage, attempts, freezes)
    found.requests = len(calls)
    _judge_requests(found, calls, attempts)
    _judge_limits(found, calls)
    _judge_frozen(found, calls, attempts, freezes)
    _judge_deaths(found, stage, attempts)
    _judge_answers(found, stage, calls, attempts, freezes)
    running, queued = standing
    found.must(
        max(running, queued) <= STANDSTILL_SECONDS,
        f"a row stood still: {running:.1f} s running without heartbeat, {queued:.1f} s queued",
    )
    return found


def _judge_rows(found: Findings, stage: Stage, tasks: int) -> None:
    rows = stage.system.sql("SELECT status, count(*) AS n FROM tasks GROUP BY 1")
    found.tasks.update({row["status"]: row["n"] for row in rows})
    ended = found.tasks["completed"] + found.tasks["failed"]
    found.must(found.tasks.total() == tasks, f"{found.tasks.total()} rows of {tasks}")
    found.must(ended == tasks, f"{tasks - ended} tasks did not end: {dict(found.tasks)}")
    twice = stage.system.sql(
        "SELECT task_id::text, array_agg(status ORDER BY at) AS how FROM chaos_endings "
        "GROUP BY 1 HAVING count(*) > 1"
    )
    found.must(not twice, f"{len(twice)} tasks ended twice: {[dict(row) for row in twice[:3]]}")
    silent = stage.system.sql(
        "SELECT id::text FROM tasks WHERE (status = 'completed' AND result IS NULL) "
        "OR (status = 'failed' AND coalesce(last_error, '') = '')"
    )
    found.must(not silent, f"{len(silent)} tasks ended without result or reason")


def _judge_ledger(found: Findings, stage: Stage, attempts: Sequence[Mapping[str, Any]]) -> None:
    unended = [row for row in attempts if row["outcome"] is None]
    found.must(not unended, f"{len(unended)} attempts have no outcome")
    finals: Counter[str] = Counter(
        row["task_id"] for row in attempts if row["outcome"] in ("completed", "failed", "cancelled")
    )
    doubled = [task_id for task_id, count in finals.items() if count > 1]
    found.must(not doubled, f"{len(doubled)} tasks with two recorded outcomes: {doubled[:3]}")
    unrecorded = stage.system.sql(
        "SELECT id::text FROM tasks t WHERE status = 'completed' AND NOT EXISTS (SELECT 1 "
        "FROM kos_attempts a WHERE a.task_id = t.id AND a.epoch = t.epoch "
        "AND a.outcome = 'completed')"
    )
    found.must(not unrecorded, f"{len(unrecorded)} completed tasks whose attempt does not say so")
    repeated = stage.system.sql(
        "SELECT task_id::text, epoch FROM kos_attempts GROUP BY 1, 2 HAVING count(*) > 1"
    )
    found.must(not repeated, f"{len(repeated)} epochs were claimed twice")


def _calls(
    stage: Stage, attempts: Sequence[Mapping[str, Any]], freezes: Sequence[Freeze]
) -> list[Call]:
    frozen = _frozen_spans(attempts, freezes)
    return [
        Call(
            backend=backend,
            ticket=entry["task_id"],
            from_at=entry["arrived_at"],
            to_at=entry["ended_at"] or float("inf"),
            held=frozen.get(entry["task_id"] or "", ()),
            whole=entry["outcome"] == "completed" and entry["fault"] is None,
            outcome=entry["fault"] or entry["outcome"],
        )
        for backend in LIMITS
        for entry in stage.simulator(backend).stats(journal=JOURNAL)["journal"]
        if not _only_loads(entry)
    ]


def _only_loads(entry: Mapping[str, Any]) -> bool:
    """A model loaded ahead of its block: no call, and nothing that a limit counts."""
    return entry["task_id"] is None and entry["load_seconds"] > 0 and not entry["completion_tokens"]


def _frozen_spans(
    attempts: Sequence[Mapping[str, Any]], freezes: Sequence[Freeze]
) -> dict[str, tuple[tuple[float, float], ...]]:
    spans: dict[str, tuple[tuple[float, float], ...]] = {}
    for row in attempts:
        mine = tuple(
            (freeze.from_at, freeze.to_at + CLOSES_WITHIN_SECONDS)
            for freeze in freezes
            if str(row["worker"]).startswith(freeze.owner)
        )
        if mine:
            spans[f"{row['task_id']}:{row['epoch']}"] = mine
    return spans


def _judge_requests(
    found: Findings, calls: Sequence[Call], attempts: Sequence[Mapping[str, Any]]
) -> None:
    known = {f"{row['task_id']}:{row['epoch']}" for row in attempts}
    unknown = [call.ticket for call in calls if call.ticket and call.ticket not in known]
    found.must(not unknown, f"{len(unknown)} requests match no attempt: {unknown[:3]}")


def _judge_limits(found: Findings, calls: Sequence[Call]) -> None:
    for backend, limit in {**LIMITS, "all": TOTAL_LIMIT}.items():
        mine = [call for call in calls if backend in ("all", call.backend)]
        everything = most_at_once((call.from_at, call.to_at) for call in mine)
        awake = most_at_once(span for call in mine for span in _awake(call))
        found.most_at_once[backend] = awake
        found.most_with_frozen[backend] = everything
        found.must(
            awake <= limit,
            f"{backend}: {awake} calls at once, the limit is {limit}:{_at_once(mine, limit)}",
        )


def _at_once(calls: Sequence[Call], limit: int) -> str:
    """The calls of the first moment at which more than ``limit`` ran, a line each."""
    for moment in sorted(call.from_at for call in calls):
        there = [call for call in calls if any(s <= moment < e for s, e in _awake(call))]
        if len(there) > limit:
            return "".join(
                f"\n  {call.backend} {call.ticket}: from {call.from_at - moment:+.3f} s to "
                f"{call.to_at - moment:+.3f} s, {call.outcome}"
                for call in there
            )
    return ""


def _judge_frozen(
    found: Findings,
    calls: Sequence[Call],
    attempts: Sequence[Mapping[str, Any]],
    freezes: Sequence[Freeze],
) -> None:
    """A process that wakes after its lease closes the streams that it held."""
    owners = tuple(freeze.owner for freeze in freezes)
    lost = [row for row in attempts if row["outcome"] == "lost"]
    found.taken_from_frozen = sum(str(row["worker"]).startswith(owners) for row in lost)
    tickets = {f"{row['task_id']}:{row['epoch']}" for row in lost}
    open_still = [
        call.ticket
        for call in calls
        for began, ended in call.held
        if call.ticket in tickets and call.from_at < began and call.to_at > ended
    ]
    found.must(not open_still, f"{len(open_still)} streams outlived a lost lease: {open_still[:3]}")


def _judge_deaths(found: Findings, stage: Stage, attempts: Sequence[Mapping[str, Any]]) -> None:
    """Nobody is called dead but who died, and nothing is poison that killed nobody."""
    died = _owners_that_died(stage)
    dead = [row for row in attempts if row["outcome"] == "lost" and DEATH in str(row["error"])]
    alive = [row["worker"] for row in dead if not str(row["worker"]).startswith(died)]
    found.deaths_told = len(dead)
    found.must(not alive, f"{len(alive)} attempts lost to a death that was none: {alive[:3]}")
    rows = stage.system.sql(
        "SELECT coalesce(sum(crash_count), 0) AS crashes, "
        "count(*) FILTER (WHERE last_error LIKE 'poison%%') AS poison FROM tasks"
    )
    found.crashes, found.poison = rows[0]["crashes"], rows[0]["poison"]
    found.must(not found.poison, f"{found.poison} tasks were called poison")


def _judge_answers(
    found: Findings,
    stage: Stage,
    calls: Sequence[Call],
    attempts: Sequence[Mapping[str, Any]],
    freezes: Sequence[Freeze],
) -> None:
    """A whole answer is written, unless its worker died or stood still beyond its lease."""
    gone = (*_owners_that_died(stage), *(freeze.owner for freeze in freezes))
    here = process_owner().rsplit("/", 2)[0]
    unwritten = {
        f"{row['task_id']}:{row['epoch']}"
        for row in attempts
        if row["outcome"] in UNWRITTEN
        and str(row["worker"]).startswith(here)
        and not str(row["worker"]).startswith(gone)
    }
    whole = [call.ticket for call in calls if call.whole and call.ticket]
    thrown = [ticket for ticket in whole if ticket in unwritten]
    found.whole_answers, found.thrown_away = len(whole), len(thrown)
    found.must(not thrown, f"{len(thrown)} whole answers were thrown away: {thrown[:3]}")


def _owners_that_died(stage: Stage) -> tuple[str, ...]:
    host = process_owner().rsplit("/", 2)[0]
    return tuple(f"{host}/{pid}/" for pid in stage.dead)


def _awake(call: Call) -> list[tuple[float, float]]:
    """The parts of a call in which its process was not frozen."""
    parts = [(call.from_at, call.to_at)]
    for began, ended in call.held:
        parts = [
            piece
            for start, end in parts
            for piece in ((start, min(end, began)), (max(start, ended), end))
            if piece[0] < piece[1]
        ]
    return parts


def most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    """The highest number of spans that overlap; one that ends where another begins does not."""
    steps: defaultdict[float, list[int]] = defaultdict(list)
    for start, end in spans:
        steps[start].append(1)
        steps[end].append(-1)
    now = most = 0
    for at in sorted(steps):
        now += sum(step for step in steps[at] if step < 0)
        now += sum(step for step in steps[at] if step > 0)
        most = max(most, now)
    return most
