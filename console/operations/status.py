"""The whole at a glance: programs, tasks by state, health, addresses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import redis

from console.operations import outlook, time_shares, verdict
from console.operations.connections import Connections
from console.operations.errors import InvalidInput, ServiceUnreachable
from console.operations.outlook import Eta, OpenWork
from console.operations.pace import Pace, pace_of
from console.operations.slowness import slowness
from console.operations.standing import Standing
from console.operations.verdict import SystemVerdict
from console.services.errors import ServiceError
from console.supervision.addresses import dashboard_url, gateway_url
from console.supervision.client import ProgramStatus
from console.supervision.status import status as program_status
from jobs.policy.forecast import Forecast
from jobs.process.clock import utc_now
from jobs.process.http_origins import LOOPBACK
from jobs.queues.names import HEALTH
from jobs.settings.load import Settings
from jobs.upkeep.health.checks import supervised_servers
from jobs.upkeep.health.refusals import remedy
from jobs.upkeep.health.services import SEE_POSTGRES, SEE_REDIS
from models import attempt, counts
from models.base import Row
from models.database import DatabaseUnavailable, session
from models.states import TaskState

OTHERWISE = {"postgres": SEE_POSTGRES, "redis": SEE_REDIS}
T = TypeVar("T")
HOUR = timedelta(hours=1)


@dataclass(slots=True)
class SystemStatus:
    """``problems`` are lines for people: what could not be queried, and the remedy."""

    document: dict[str, Any]
    problems: list[str] = field(default_factory=list)
    judged: SystemVerdict = verdict.UNKNOWN

    @property
    def red(self) -> bool:
        programs_down = any(row["state"] != "RUNNING" for row in self.document["programs"])
        return programs_down or any(not check["ok"] for check in self.document["health"])


def gather(connections: Connections) -> SystemStatus:
    """Everything that answers; each service that does not becomes a problem."""
    settings = connections.settings
    found = SystemStatus(
        {
            "programs": [],
            "tasks": {},
            "health": [],
            "backends": model_servers(settings),
            "urls": urls(settings),
            "badges": list(badges(settings)),
        }
    )
    try:
        found.document["programs"] = programs(settings)
    except ServiceError as error:
        found.problems.append(str(error))
    postgres = _try(found, "postgres", lambda: work(connections))
    looked = _try(found, "redis", lambda: _look(connections))
    standing, reports = looked or (None, [])
    found.document["tasks"] = postgres.counts if postgres else {}
    found.document["health"] = merged(found.document["health"], reports)
    found.judged = judged(
        settings, found.document["health"], found.document["programs"], postgres, standing
    )
    found.document["verdict"] = verdict.document(found.judged, now=utc_now())
    return found


def _look(connections: Connections) -> tuple[Standing, list[Row]]:
    return connections.standings.look(), health(connections.redis)


def programs(settings: Settings) -> list[Row]:
    """``{"name", "state", "pid", "uptime_seconds"}`` of each; raises ServiceError."""
    if settings.supervisor_socket is None and not (settings.home / "run").is_dir():
        raise ServiceError("the programs are not running; start them with: kos up")
    return [_program(found) for found in program_status(settings)]


def task_counts() -> dict[str, int]:
    """Tasks by state, every state named."""
    found = counts.by_status()
    return {state.value: found.pop(state.value, 0) for state in TaskState} | found


def health(client: redis.Redis) -> list[Row]:
    """``{"name", "ok", "detail", "remedy", "at", "since"}`` of each check of the last round.

    Empty where it does not run: a round is kept for a few intervals only.
    """
    text: Any = client.get(HEALTH)
    if text is None:
        return []
    try:
        report = json.loads(text)
        at = datetime.fromtimestamp(report["at"], tz=UTC)
        return [_check(check, at) for check in report["checks"]]
    except (ValueError, KeyError, TypeError) as error:
        return [_report("health checker", f"its report cannot be read ({error!r})")]


def urls(settings: Settings) -> dict[str, str]:
    return {"dashboard": dashboard_url(settings), "gateway": gateway_url(settings)}


def badges(settings: Settings) -> tuple[str, ...]:
    """What makes this system another than the usual one, in a few words each."""
    open_ports = (
        (name, host, port)
        for name, host, port in (
            ("dashboard", settings.dashboard_host, settings.dashboard_port),
            ("gateway", settings.gateway_host, settings.gateway_port),
        )
        if host not in LOOPBACK
    )
    return (
        *(f"{name}: simulated" for name in settings.simulated),
        *(("read-only",) if settings.dashboard_read_only else ()),
        *(f"{name} is open to the network: {host}:{port}" for name, host, port in open_ports),
    )


def model_servers(settings: Settings) -> list[Row]:
    """``{"name", "url", "simulated"}`` of each configured backend."""
    return [
        {"name": spec.name, "url": spec.url, "simulated": spec.name in settings.simulated}
        for spec in settings.backends
    ]


@dataclass(frozen=True, slots=True)
class Work:
    """What the database says: tasks by state, how fast they go, and when they are done.
    ``delayed`` of the pending tasks are in back-off; ``shares`` are those of ``time_shares``."""

    counts: dict[str, int] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)
    ahead: OpenWork = field(default_factory=OpenWork)
    forecast: Forecast = field(default_factory=lambda: Forecast(()))
    eta: Eta | None = None
    shares: dict[str, Row] = field(default_factory=dict)
    delayed: int = 0


def work(connections: Connections) -> Work:
    connections.use_database()
    now = utc_now()
    with session():
        sums = attempt.by_minute(now - HOUR)
        by_state, pace, ahead = task_counts(), pace_of(sums, now=now), outlook.open_work()
        found = outlook.forecast_of(
            ahead,
            connections.settings,
            waiting=by_state[TaskState.PENDING],
            retried_share=pace.retried_share,
        )
        return Work(
            counts=by_state,
            pace=pace,
            ahead=ahead,
            forecast=found,
            eta=outlook.eta(found.end(), now=now),
            shares=time_shares.time_shares(now),
            delayed=sum(counts.delayed().values()),
        )


def verdict_now(connections: Connections, found: Work, standing: Standing) -> SystemVerdict:
    """Where no supervisor answers, the programs are not looked at. Raises RedisError."""
    settings = connections.settings
    try:
        running = programs(settings)
    except ServiceError:
        running = None
    return judged(settings, health(connections.redis), running, found, standing)


def judged(
    settings: Settings,
    checks: list[Row],
    running: list[Row] | None,
    work: Work | None,
    standing: Standing | None,
) -> SystemVerdict:
    """``running`` are the programs, None where nobody can say; ``work`` and ``standing`` are None
    where Postgres or Redis does not answer."""
    found = work or Work()
    states = list(standing.states.values()) if standing else []
    return verdict.judge(
        found.counts,
        verdict.problems_of(checks, running, supervised_servers(settings), states),
        pace=found.pace,
        eta=found.eta,
        cause=slowness(
            standing,
            found.ahead.blocks,
            found.shares,
            pending=found.counts.get(TaskState.PENDING, 0),
            delayed=found.delayed,
        )
        if standing
        else None,
    )


def merged(checks: list[Row], reports: list[Row]) -> list[Row]:
    """``checks`` of ours, replaced by red ``reports`` of the health checker, which also writes."""
    red = {row["name"]: row for row in reports if not row["ok"]}
    known = {row["name"] for row in checks}
    return [red.get(row["name"], row) if row["ok"] else row for row in checks] + [
        row for row in reports if row["name"] not in known
    ]


def _try(found: SystemStatus, name: str, read: Callable[[], T]) -> T | None:
    """Read, and report on ``name`` as a health check of its own."""
    try:
        answer = read()
    except (ServiceUnreachable, InvalidInput, DatabaseUnavailable, redis.RedisError) as error:
        line = str(error).strip().splitlines()[0]
        known = not isinstance(error, ServiceUnreachable)
        advice = remedy(error, OTHERWISE[name]) if known else None
        found.document["health"].append(_report(name, line, advice))
        found.problems.append(f"{name}: {line}")
        return None
    found.document["health"].append(_report(name, None))
    return answer


def _program(found: ProgramStatus) -> Row:
    uptime = found.uptime_seconds
    return {
        "name": found.name,
        "state": found.state,
        "pid": found.pid,
        "uptime_seconds": round(uptime, 1) if uptime is not None else None,
    }


def _check(check: dict[str, Any], at: datetime) -> Row:
    return {
        "name": check["name"],
        "ok": bool(check["ok"]),
        "detail": check.get("detail"),
        "remedy": check.get("remedy") or None,
        "at": at,
        "since": datetime.fromtimestamp(check["since"], tz=UTC) if check.get("since") else None,
    }


def _report(name: str, problem: str | None, advice: str | None = None) -> Row:
    return {
        "name": name,
        "ok": problem is None,
        "detail": problem,
        "remedy": advice,
        "at": None,
        "since": None,
    }
