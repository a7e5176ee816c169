"""The whole at a glance: programs, tasks by state, health, addresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import redis

from console.operations import outlook, time_shares, verdict
from console.operations.connections import Connections
from console.operations.errors import InvalidInput, ServiceUnreachable
from console.operations.health_report import ReportedCheck, last_round, merged
from console.operations.lanes import RUNNING_READ, as_running
from console.operations.outlook import Eta, OpenWork
from console.operations.pace import Pace, pace_of
from console.operations.problems import problems_of
from console.operations.slowness import slowness
from console.operations.standing import Standing
from console.operations.time_shares import TimeShares
from console.operations.verdict import SystemVerdict
from console.services.errors import ServiceError
from console.supervision.addresses import dashboard_url, gateway_url
from console.supervision.client import ProgramStatus, SupervisorSilent
from console.supervision.status import status as program_status
from jobs.policy.forecast import Forecast
from jobs.process.clock import utc_now
from jobs.process.http_origins import LOOPBACK
from jobs.settings.load import Settings
from jobs.upkeep.health.checks import supervised_servers
from jobs.upkeep.health.refusals import remedy
from jobs.upkeep.health.services import SEE_POSTGRES, SEE_REDIS
from models import attempt, counts, task_figures
from models.database import DatabaseUnavailable, session
from models.states import TaskState
from models.task_figures import TaskInProgress

OTHERWISE = {"postgres": SEE_POSTGRES, "redis": SEE_REDIS}
T = TypeVar("T")
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A configured backend."""

    name: str
    url: str
    simulated: bool


@dataclass(slots=True)
class SystemStatus:
    """``problems`` are lines for people: what could not be queried, and the remedy."""

    backends: list[ModelServer]
    urls: dict[str, str]
    badges: tuple[str, ...]
    programs: tuple[ProgramStatus, ...] = ()
    tasks: dict[str, int] = field(default_factory=dict)
    health: list[ReportedCheck] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    judged: SystemVerdict = verdict.UNKNOWN
    programs_known: bool = True

    @property
    def red(self) -> bool:
        programs_down = any(not program.runs for program in self.programs)
        return programs_down or any(not check.ok for check in self.health)

    def document(self, *, now: datetime) -> dict[str, Any]:
        """What ``kos status --json`` prints."""
        return {
            "programs": [
                {
                    "name": program.name,
                    "state": program.state,
                    "pid": program.pid,
                    "uptime_seconds": program.uptime_seconds,
                }
                for program in self.programs
            ],
            "tasks": self.tasks,
            "health": self.health,
            "backends": self.backends,
            "urls": self.urls,
            "badges": self.badges,
            "verdict": verdict.document(self.judged, now=now),
        }


DOES_NOT_ANSWER = "does not answer"
END_SUPERVISORD = "kos down, then kos up"


def gather(connections: Connections) -> SystemStatus:
    """Everything that answers; each service that does not becomes a problem."""
    settings = connections.settings
    found = SystemStatus(model_servers(settings), urls(settings), badges(settings))
    running: tuple[ProgramStatus, ...] | None
    try:
        found.programs = running = programs(settings)
    except SupervisorSilent as error:
        running, found.programs_known = None, False
        found.health.append(ReportedCheck("supervisord", False, DOES_NOT_ANSWER, END_SUPERVISORD))
        found.problems.append(str(error))
    except ServiceError as error:
        running = ()
        found.problems.append(str(error))
    postgres = _try(found, "postgres", lambda: work(connections))
    looked = _try(found, "redis", lambda: _look(connections))
    standing, reported = looked or (None, [])
    found.tasks = postgres.counts if postgres else {}
    found.health = merged(found.health, reported)
    found.judged = judged(settings, found.health, running, postgres, standing)
    return found


def _look(connections: Connections) -> tuple[Standing, list[ReportedCheck]]:
    return connections.standings.look(), last_round(connections.redis)


def programs(settings: Settings) -> tuple[ProgramStatus, ...]:
    """Raises ServiceError."""
    if settings.supervisor_socket is None and not (settings.home / "run").is_dir():
        raise ServiceError("the programs are not running; start them with: kos up")
    return program_status(settings)


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


def model_servers(settings: Settings) -> list[ModelServer]:
    return [
        ModelServer(spec.name, spec.url, simulated=spec.name in settings.simulated)
        for spec in settings.backends
    ]


@dataclass(frozen=True, slots=True)
class Work:
    """What the database says: tasks by state, how fast they go, and when they are done.
    ``shares`` are those of ``time_shares``, ``running`` the oldest tasks in progress."""

    counts: dict[str, int] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)
    ahead: OpenWork = field(default_factory=OpenWork)
    forecast: Forecast = field(default_factory=lambda: Forecast(()))
    eta: Eta | None = None
    shares: dict[str, TimeShares] = field(default_factory=dict)
    running: Sequence[TaskInProgress] = ()


def work(connections: Connections) -> Work:
    connections.use_database()
    now = utc_now()
    with session():
        sums = attempt.by_minute(now - HOUR)
        running = task_figures.running(RUNNING_READ)
        by_state = as_running(counts.by_status(), running)
        pace, ahead = pace_of(sums, now=now), outlook.open_work()
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
            running=running,
        )


def verdict_now(connections: Connections, found: Work, standing: Standing) -> SystemVerdict:
    """Where no supervisor answers, the programs are not looked at. Raises RedisError."""
    settings = connections.settings
    try:
        running = programs(settings)
    except ServiceError:
        running = None
    return judged(settings, last_round(connections.redis), running, found, standing)


def judged(
    settings: Settings,
    checks: Sequence[ReportedCheck],
    running: Sequence[ProgramStatus] | None,
    work: Work | None,
    standing: Standing | None,
) -> SystemVerdict:
    """``running`` are the programs, None where nobody can say; ``work`` and ``standing`` are None
    where Postgres or Redis does not answer."""
    found = work or Work()
    states = list(standing.states.values()) if standing else []
    return verdict.judge(
        found.counts,
        problems_of(checks, running, supervised_servers(settings), states),
        pace=found.pace,
        eta=found.eta,
        cause=slowness(
            standing,
            found.ahead.blocks,
            found.shares,
            pending=found.counts.get(TaskState.PENDING, 0),
            delayed=found.ahead.backed_off.count,
        )
        if standing
        else None,
    )


def _try(found: SystemStatus, name: str, read: Callable[[], T]) -> T | None:
    """Read, and report on ``name`` as a health check of its own."""
    try:
        answer = read()
    except (ServiceUnreachable, InvalidInput, DatabaseUnavailable, redis.RedisError) as error:
        line = str(error).strip().splitlines()[0]
        known = not isinstance(error, ServiceUnreachable)
        advice = remedy(error, OTHERWISE[name]) if known else None
        found.health.append(ReportedCheck(name, False, line, advice))
        found.problems.append(f"{name}: {line}")
        return None
    found.health.append(ReportedCheck(name, True))
    return answer
