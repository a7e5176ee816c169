"""``/metrics`` for Prometheus: read at each scrape, from the figures that the pages share."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import peewee
import redis
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.requests import Request
from starlette.responses import Response

from console.operations import queues
from console.web.figures.backend_lanes import BackendLane
from console.web.figures.overview import Overview
from console.web.site import Site
from jobs.process.clock import epoch_seconds, utc_now
from jobs.queues.actor_errors import read_errors
from jobs.queues.names import PLANNER, SCHEDULER_TICK, WORKERS
from llm.breaker import BreakerPhase
from models import request as request_log
from models import task_figures
from models.attempt import MinuteSums
from models.database import DatabaseUnavailable, session
from models.request import HourSums

PHASES = {phase.value: number for number, phase in enumerate(BreakerPhase)}
LATE_SECONDS = 15.0
SERVICES = ("postgres", "redis")


class Metrics:
    """One collector for one site. A service that does not answer is a metric of its own."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        down: set[str] = set()
        families: list[Metric] = []
        for read in (self._from_postgres, self._from_redis):
            families += _read(read, down)
        if not down:
            families += _read(self._from_both, down)
        up = GaugeMetricFamily("kos_up", "1 where the service answers", labels=["service"])
        for service in SERVICES:
            up.add_metric([service], int(service not in down))
        yield up
        yield from families

    def _from_both(self) -> list[Metric]:
        overview = self._site.overviews.fresh()
        return [*_of_overview(overview), *_of_lanes(overview.lanes)]

    def _from_postgres(self) -> list[Metric]:
        with session():
            leases = task_figures.running_leases()
            chats = request_log.of_last_hour()
        ended = self._site.overviews.hour().ended
        return [*_of_attempts(ended), *_of_requests(chats),
                _gauge("kos_leases_late", "Running tasks whose lease ran out", leases.late),
                _gauge("kos_longest_running_seconds", "Age of the oldest running attempt",
                       leases.longest_seconds)]  # fmt: skip

    def _from_redis(self) -> list[Metric]:
        client = self._site.redis
        names = queues.names(self._site.settings)
        depth = GaugeMetricFamily("kos_queue_messages", "Messages", labels=["queue", "part"])
        consumers = GaugeMetricFamily("kos_queue_consumers", "Live workers", labels=["queue"])
        for row in queues.overview(client, names, now=utc_now()):
            for part in ("ready", "in_flight", "delayed", "dead"):
                depth.add_metric([row.queue, part], getattr(row, part))
            consumers.add_metric([row.queue], row.consumers)
        tick: Any = client.get(SCHEDULER_TICK)
        planner: Any = client.hgetall(PLANNER)
        late = sum(age > LATE_SECONDS for age in _worker_ages(client))
        errors = CounterMetricFamily(
            "kos_actor_errors", "Exceptions that left an actor", labels=["actor"]
        )
        for one in read_errors(client):
            errors.add_metric([one.actor], one.count)
        return [depth, consumers, errors,
                _gauge("kos_plans_total", "Plans made", float(planner.get("plans", 0))),
                _gauge("kos_planner_seconds_total", "Spent on planning",
                       float(planner.get("seconds", 0))),
                _gauge("kos_workers_late", "Workers whose beat is late", late),
                _gauge("kos_scheduler_tick_seconds", "Age of the scheduler's last tick",
                       _age(tick))]  # fmt: skip


def scrape(request: Request) -> Response:
    metrics: Metrics = request.app.state.metrics
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _read(read: Callable[[], list[Metric]], down: set[str]) -> list[Metric]:
    """What ``read`` finds; nothing where a service does not answer, which is noted in ``down``."""
    try:
        return read()
    except (DatabaseUnavailable, peewee.PeeweeException):
        down.add("postgres")
    except redis.RedisError:
        down.add("redis")
    return []


def _of_overview(overview: Overview) -> Iterator[Metric]:
    tasks = GaugeMetricFamily("kos_tasks", "Tasks by state", labels=["state"])
    for state, number in overview.counts.items():
        tasks.add_metric([state], number)
    yield tasks
    waiting = GaugeMetricFamily(
        "kos_backlog_tasks", "Waiting tasks", labels=["category", "priority"]
    )
    oldest = GaugeMetricFamily(
        "kos_backlog_oldest_seconds", "Age of the oldest", labels=["category", "priority"]
    )
    for group in overview.backlog:
        labels = [group.category or "unassigned", group.priority]
        waiting.add_metric(labels, group.n)
        oldest.add_metric(labels, group.oldest_wait_seconds or 0)
    yield waiting
    yield oldest
    yield _gauge("kos_completed_per_minute", "Tasks completed", overview.per_minute)
    checks = GaugeMetricFamily("kos_health_check", "1: green", labels=["check"])
    for check in overview.health:
        checks.add_metric([check.name], int(check.ok))
    yield checks


def _of_lanes(lanes: list[BackendLane]) -> Iterator[Metric]:
    figures: tuple[tuple[str, str, Callable[[BackendLane], float]], ...] = (
        ("kos_slots_in_use", "Calls that hold a slot", lambda lane: lane.in_flight),
        ("kos_slots_limit", "The present limit", lambda lane: lane.limit),
        ("kos_slots_waiting", "Tasks waiting for a slot", lambda lane: lane.waiting_for_slot),
        ("kos_backend_paused", "1: paused by hand", lambda lane: int(lane.paused)),
        ("kos_breaker", "0 closed, 1 open, 2 half open", lambda lane: PHASES[lane.breaker]),
        ("kos_planned_tasks", "Tasks in blocks", lambda lane: lane.planned),
        ("kos_loads_day", "Model loads", lambda lane: lane.reloads.actual if lane.reloads else 0),
        ("kos_loads_day_bound", "Loads needed at least",
         lambda lane: lane.reloads.bound if lane.reloads else 0),
    )  # fmt: skip
    for name, described, value in figures:
        family = GaugeMetricFamily(name, described, labels=["backend"])
        for lane in lanes:
            family.add_metric([lane.backend], value(lane))
        yield family
    shares = GaugeMetricFamily("kos_time_share", "Of an hour", labels=["backend", "part"])
    for lane in lanes:
        for part in ("decode", "prefill", "load", "queue", "idle"):
            if lane.split:
                shares.add_metric([lane.backend, part], getattr(lane.split, part))
    yield shares


def _of_requests(sums: Iterable[HourSums]) -> Iterator[Metric]:
    """Requests to the gateway in the last hour."""
    count = GaugeMetricFamily(
        "kos_requests_hour", "Requests of the gateway", labels=["backend", "status"]
    )
    waited = GaugeMetricFamily(
        "kos_request_queue_seconds_hour", "Seconds they waited", labels=["backend", "status"]
    )
    for line in sums:
        labels = [line.backend, f"{line.status_class}xx"]
        count.add_metric(labels, line.count)
        waited.add_metric(labels, line.queue_seconds)
    yield count
    yield waited


def _of_attempts(ended: Iterable[MinuteSums]) -> Iterator[Metric]:
    """Over the last hour: a gauge, for old attempts leave the window again."""
    groups: dict[tuple[str, str, str], list[MinuteSums]] = defaultdict(list)
    for sums in ended:
        groups[sums.backend, sums.model, sums.outcome].append(sums)
    for name, described, column in (
        ("kos_attempts_hour", "Attempts that ended", "count"),
        ("kos_prompt_tokens_hour", "Tokens read", "prompt_tokens"),
        ("kos_completion_tokens_hour", "Tokens written", "completion_tokens"),
        ("kos_duration_seconds_hour", "Seconds of calls", "duration_seconds"),
        ("kos_wait_seconds_hour", "Seconds waited for a worker", "wait_seconds"),
        ("kos_load_seconds_hour", "Seconds of loading", "load_seconds"),
    ):
        family = GaugeMetricFamily(name, described, labels=["backend", "model", "outcome"])
        for labels, found in groups.items():
            family.add_metric(labels, sum(getattr(sums, column) for sums in found))
        yield family


def _worker_ages(client: redis.Redis) -> Iterator[float]:
    lines: Any = client.hvals(WORKERS)
    for text in lines:
        try:
            yield epoch_seconds() - float(json.loads(text)["beat_at"])
        except (ValueError, KeyError, TypeError):
            yield float("inf")


def _age(stamp: Any) -> float:
    try:
        return epoch_seconds() - float(stamp)
    except (TypeError, ValueError):
        return float("nan")


def _gauge(name: str, described: str, value: float) -> Metric:
    return GaugeMetricFamily(name, described, value=value)
