"""The whole overview in one document; each part is cached by its cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import redis

from console.operations import experts, outlook, pace, status, strip, time_shares
from console.operations.health_report import ReportedCheck, last_round
from console.operations.lanes import RUNNING_READ, as_running
from console.operations.remedies import remedy_of
from console.operations.status import Work
from console.operations.strip import Strips
from console.operations.time_shares import TimeShares
from console.operations.verdict import SystemVerdict
from console.services.errors import ServiceError
from console.supervision.client import ProgramStatus
from console.web.figures import pending
from console.web.figures.backend_lanes import BackendLane, Lanes
from console.web.figures.cache import Cached
from console.web.figures.hour import Hour, HourOfAttempts
from console.web.figures.pending import BacklogGroup
from jobs.policy.forecast import Forecast
from jobs.process.clock import utc_now
from jobs.settings.load import Settings
from models import block, counts, model_loads, task_figures
from models.block import PlacedKind
from models.database import session
from models.expert import ListedExpert
from models.model_loads import Reloads
from models.task_figures import PendingGroup

STALE_SECONDS = 3.0
PLACES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class FailureCount:
    """How many attempts of the last hour ended with an error code, what helps, and and where they
    ended (``backend/model``), the most frequent first."""

    code: str
    n: int
    remedy: str
    places: list[str]


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole system at one moment. ``counts`` are tasks by state; ``throughput`` has a series
    of a value a minute each: ``at`` (Unix time), ``completed``, ``failed`` and ``tokens``."""

    at: datetime
    counts: dict[str, int]
    verdict: SystemVerdict
    lanes: list[BackendLane]
    strips: Strips
    backlog: list[BacklogGroup]
    per_minute: float
    reloads: Reloads
    throughput: dict[str, list[int]]
    failures: list[FailureCount]
    health: list[ReportedCheck]


@dataclass(frozen=True, slots=True)
class _Outlook:
    """What was read and computed of one plan: the blocks of another have other ids."""

    forecast: Forecast
    places: list[PlacedKind]
    seen: strip.Seen


@dataclass(frozen=True, slots=True)
class _Parts:
    """Caches of the parts; expensive parts are read less often."""

    groups: Cached[list[PendingGroup]]
    counts: Cached[dict[str, int]]
    hour: Cached[Hour]
    splits: Cached[dict[str, TimeShares]]
    reloads: Cached[dict[str, Reloads]]
    outlook: Cached[_Outlook]
    health: Cached[list[ReportedCheck]]
    programs: Cached[tuple[ProgramStatus, ...] | None]


class Overviews:
    """The first screen's document, at most a second old; every page shares it."""

    def __init__(
        self, settings: Settings, client: redis.Redis, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._lanes = Lanes(settings, client)
        hour = HourOfAttempts()
        self._parts = _Parts(
            groups=Cached(pending.pending_groups),
            counts=Cached(counts.by_status),
            hour=Cached(lambda: hour.look(clock())),
            splits=Cached(lambda: time_shares.time_shares(clock()), seconds=5.0),
            reloads=Cached(model_loads.of_last_day, seconds=3.0),
            outlook=Cached(self._outlook, longest_seconds=STALE_SECONDS),
            health=Cached(lambda: last_round(client), seconds=2.0),
            programs=Cached(lambda: _programs(settings), seconds=2.0),
        )
        self._whole = Cached(self._make, seconds=0.8, longest_seconds=STALE_SECONDS)
        self._experts = Cached(_experts, seconds=2.0)

    def get(self, *, stale_seconds: float = STALE_SECONDS) -> Overview:
        """What the last look found, where it is a few seconds old: then a new one is on its way.

        Raises DatabaseUnavailable and redis.RedisError.
        """
        return self._whole.get(stale_seconds=stale_seconds)

    def fresh(self) -> Overview:
        """The same, without the cache."""
        return self._whole.get()

    def hour(self) -> Hour:
        with session():
            return self._parts.hour.get()

    def experts(self) -> list[ListedExpert]:
        """Every expert with its load, as ``experts.listed``."""
        return self._experts.get(stale_seconds=STALE_SECONDS)

    def forget(self) -> None:
        """Drop the caches after a change by hand."""
        parts = self._parts
        for cache in (parts.groups, parts.counts, parts.outlook, self._whole):
            cache.forget()

    def _make(self) -> Overview:
        with session():
            now = self._clock()
            parts = self._parts
            hour = parts.hour.get()
            found = pace.pace_of(hour.ended, now=now)
            rate = found.per_second
            reloads, health, groups = parts.reloads.get(), parts.health.get(), parts.groups.get()
            planned, splits = parts.outlook.get(), parts.splits.get()
            ahead, running = planned.seen.work, task_figures.running(RUNNING_READ)
            by_state = as_running(parts.counts.get(), running)
            lanes, standing = self._lanes.look(
                blocks=ahead.blocks, splits=splits, reloads=reloads, running=running, now=now
            )
            work = Work(
                counts=by_state,
                pace=found,
                ahead=ahead,
                forecast=planned.forecast,
                eta=outlook.eta(planned.forecast.end(), now=now),
                shares=splits,
            )
            verdict = status.judged(self._settings, health, parts.programs.get(), work, standing)
            return Overview(
                at=now,
                counts=by_state,
                verdict=verdict,
                lanes=lanes,
                strips=strip.strips(
                    planned.seen,
                    planned.forecast,
                    [spec.name for spec in self._settings.backends],
                    now=now,
                    paused=standing.paused,
                ),
                backlog=pending.with_estimates(groups, planned.forecast, planned.places, now=now),
                per_minute=rate * 60,
                reloads=_totals(reloads),
                throughput=_throughput(hour),
                failures=_failures(hour),
                health=health,
            )

    def _outlook(self) -> _Outlook:
        """Needs a session."""
        work, hour, now = outlook.open_work(), self._parts.hour.get(), self._clock()
        forecast = outlook.forecast_of(
            work,
            self._settings,
            waiting=self._parts.counts.get()["pending"],
            retried_share=pace.pace_of(hour.ended, now=now).retried_share,
        )
        return _Outlook(forecast, block.last_places(), strip.look(work, now=now))


def _programs(settings: Settings) -> tuple[ProgramStatus, ...] | None:
    """None where no supervisor answers: the dashboard runs without one, too."""
    try:
        return status.programs(settings)
    except ServiceError:
        return None


def _experts() -> list[ListedExpert]:
    with session():
        return experts.listed()


def _totals(reloads: dict[str, Reloads]) -> Reloads:
    return Reloads(
        actual=sum(one.actual for one in reloads.values()),
        bound=sum(one.bound for one in reloads.values()),
        seconds=sum(one.seconds for one in reloads.values()),
    )


def _failures(hour: Hour) -> list[FailureCount]:
    return [
        FailureCount(
            code,
            places.total(),
            remedy_of(code),
            [place for place, _ in places.most_common(PLACES_SHOWN) if place],
        )
        for code, places in hour.failures.items()
    ]


def _throughput(hour: Hour) -> dict[str, list[int]]:
    return {
        "at": [int(minute.timestamp()) for minute in hour.minutes],
        "completed": list(hour.completed),
        "failed": list(hour.failed),
        "tokens": list(hour.tokens),
    }
