"""The health checker: ``python -m jobs.health_checker`` checks everything and restarts what hangs.

Every round is written to Redis with a time to live: no health is not good health. The same rounds
decide the admission limits and send the canaries of open breakers.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial

import redis

from jobs.attempt.processors.delegation import VERONICA_PORT, VICTORIA_PORT, usual_url
from jobs.planning.plan_log import PlanLog
from jobs.process import signals
from jobs.process.clock import epoch_seconds, utc_now
from jobs.queues.leadership import Leadership
from jobs.queues.names import CONTROL_QUEUE, HEALTH, llm_queue
from jobs.runtime import Runtime, connect
from jobs.settings.load import Settings
from jobs.upkeep.deployment import location_of
from jobs.upkeep.health import endpoint, programs, services
from jobs.upkeep.health.backends import BackendWatch
from jobs.upkeep.health.backlog import BacklogWatch
from jobs.upkeep.health.checks import HealthCheck, supervised_servers
from jobs.upkeep.health.restarts import Restarter
from jobs.upkeep.health.transitions import TransitionLog
from jobs.upkeep.limit_control import LimitControl
from models.database import DatabaseUnavailable

logger = logging.getLogger(__name__)

KEPT_ROUNDS = 4
LEASE_ROUNDS = 3
SILENT_SECONDS = 12.0
"""After an outage of Redis or a sleep of the machine, heartbeats look old until the next one."""
YOUNG_SECONDS = 30.0
YOUNG_ROUND_SECONDS = 0.5


@dataclass(slots=True)
class HealthChecker:
    """Owns what must be remembered between rounds."""

    runtime: Runtime
    restarter: Restarter
    watch: BackendWatch
    backlog: BacklogWatch
    limit_control: LimitControl
    leadership: Leadership
    checks: list[HealthCheck] = field(default_factory=list)
    limits_decided_at: float = float("-inf")
    red_since: dict[str, float] = field(default_factory=dict)
    silent_since: dict[str, float] = field(default_factory=dict)
    transitions: TransitionLog = field(default_factory=TransitionLog)

    def round(self) -> list[HealthCheck]:
        """Check everything once and restart what hangs; the checks."""
        checks = self._look()
        self.transitions.record(checks, now=time.monotonic())
        self.checks = checks
        leads = self._leads()
        if leads:
            self._publish(checks)
        hung = {check.name for check in checks if check.hung}
        self.silent_since = {name: at for name, at in self.silent_since.items() if name in hung}
        self._act(checks, leads=leads)
        return checks

    def _look(self) -> list[HealthCheck]:
        settings, client = self.runtime.settings, self.runtime.redis
        queue = services.redis_server(client)
        checked = partial(self._checked, queue=queue)
        checks = [services.postgres(), queue, services.disk(settings.home)]
        if settings.backup_dir is not None:
            checks.append(services.backup(settings.backup_dir, now=utc_now()))
        where = location_of(settings.redis_url or "", settings.home)
        checks += checked("deployment", lambda: [services.deployment(client, where)])
        checks += checked("backends", lambda: [self.watch.check(s) for s in settings.backends])
        checks += checked("scheduler", lambda: [programs.scheduler(client)])
        checks += checked("listener", lambda: [programs.listener(client)])
        checks += checked("workers", lambda: programs.workers(client, _workers(settings)))
        checks += checked("backlog", lambda: [self.backlog.check()])
        checks += checked("actors", lambda: [programs.actors(client)])
        checks += services.agent("victoria", settings.victoria_url, usual_url(VICTORIA_PORT))
        checks += services.agent("veronica", settings.veronica_url, usual_url(VERONICA_PORT))
        return checks

    def _checked(
        self, name: str, make: Callable[[], list[HealthCheck]], queue: HealthCheck
    ) -> list[HealthCheck]:
        """A check that raises is red. Where Redis is already red, the others are red without a try:
        each would wait for Redis."""
        if not queue.ok:
            return [HealthCheck(name, False, f"cannot be checked without redis: {queue.detail}")]
        try:
            return make()
        except (redis.RedisError, DatabaseUnavailable) as error:
            return [HealthCheck(name, False, f"cannot be checked: {error}")]

    def _leads(self) -> bool:
        """One checker speaks and decides for all hosts; each restarts the programs of its own."""
        try:
            return self.leadership.holds()
        except redis.RedisError as error:
            logger.warning("leader_unknown error=%s", error)
            return False

    def _publish(self, checks: list[HealthCheck]) -> None:
        now, before = epoch_seconds(), self.red_since
        self.red_since = {one.name: before.get(one.name, now) for one in checks if not one.ok}
        said = [{**asdict(one), "since": self.red_since.get(one.name)} for one in checks]
        document = {"at": now, "checks": said}
        ttl = int(self.runtime.settings.health_interval_seconds * KEPT_ROUNDS) + 1
        try:
            self.runtime.redis.set(HEALTH, json.dumps(document), ex=ttl)
        except redis.RedisError as error:
            logger.warning("health_not_published error=%s", error)

    def _act(self, checks: list[HealthCheck], *, leads: bool) -> None:
        now = utc_now()
        for check in checks:
            if check.hung and self._is_sure(check):
                self.restarter.restart(check.hung, check.detail, now)
        if self.restarter.socket is not None:
            self.restarter.start_fatal(now)
        if not leads:
            self.limits_decided_at = time.monotonic()  # by the leader, at its own pace
            return
        try:
            if self.runtime.breakers.due_probes():
                self.runtime.requests.probe()
            self._decide_limits()
        except (redis.RedisError, DatabaseUnavailable) as error:
            logger.warning("round_incomplete error=%s", error)

    def _is_sure(self, check: HealthCheck) -> bool:
        """Whether one red check is enough. A model server was really called; our own programs are
        known by their heartbeats only, so those are checked twice."""
        if check.name.startswith("backend:"):
            return True
        since = self.silent_since.setdefault(check.name, time.monotonic())
        return time.monotonic() - since >= SILENT_SECONDS

    def seconds_to_next_limits(self) -> float:
        """Until the limits are due again, so that a round begins then and not up to one later."""
        due = self.limits_decided_at + self.runtime.settings.adaptive_calc_interval_seconds
        return max(0.0, due - time.monotonic())

    def _decide_limits(self) -> None:
        if self.seconds_to_next_limits() <= 0:
            self.limits_decided_at = time.monotonic()
            self.limit_control.decide()


def build(runtime: Runtime) -> HealthChecker:
    settings = runtime.settings
    return HealthChecker(
        runtime=runtime,
        restarter=Restarter(settings.supervisor_socket),
        watch=BackendWatch(
            backends=runtime.backends,
            slots=runtime.slots,
            limits=runtime.limits,
            breakers=runtime.breakers,
            requests=runtime.requests,
            learned=runtime.figures,
            supervised=supervised_servers(settings),
        ),
        backlog=BacklogWatch(runtime.state, PlanLog(runtime.redis), settings.fairness_seconds),
        limit_control=LimitControl(
            settings,
            backends=runtime.backends,
            slots=runtime.slots,
            limits=runtime.limits,
            requests=runtime.requests,
        ),
        leadership=Leadership(
            runtime.redis, "health", settings.health_interval_seconds * LEASE_ROUNDS
        ),
    )


def main() -> int:
    settings = signals.prepare("health")
    runtime = connect(settings, program="health")
    checker = build(runtime)
    server = endpoint.serve("127.0.0.1", settings.health_port, lambda: checker.checks)
    stop = signals.stop_on(signal.SIGTERM, signal.SIGINT)
    logger.info("health_ready port=%d", server.server_port)
    began = time.monotonic()
    while not stop.is_set():
        green = all(check.ok for check in checker.round())
        # Other programs may still be starting, so repeat the first red round soon.
        soon = not green and time.monotonic() - began < YOUNG_SECONDS
        interval_seconds = settings.health_interval_seconds
        pause = min(YOUNG_ROUND_SECONDS, interval_seconds) if soon else interval_seconds
        due = min(checker.seconds_to_next_limits(), checker.backlog.seconds_to_verdict())
        stop.wait(min(pause, due))
    server.shutdown()
    runtime.close()
    return 0


def _workers(settings: Settings) -> list[str]:
    return [
        f"jobs:{CONTROL_QUEUE}",
        *(f"jobs:{llm_queue(spec.name)}" for spec in settings.backends),
    ]


if __name__ == "__main__":
    sys.exit(main())
