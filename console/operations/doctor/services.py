"""The services: programs, Postgres with its tables, Redis, experts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import peewee
import redis

from console.operations.connections import Connections
from console.operations.doctor.check import Check, ok, red, warning
from console.operations.errors import InvalidInput, ServiceUnreachable
from console.operations.health_report import last_round
from console.operations.status import END_SUPERVISORD, programs
from console.services.errors import ServiceError
from console.supervision.client import SupervisorSilent
from jobs.policy.deployment import CONFLICTS, conflict
from jobs.policy.knowledge_os import Compat
from jobs.settings.load import Settings
from jobs.upkeep.deployment import inspect, location_of
from jobs.upkeep.health.refusals import BY_SQLSTATE, remedy
from jobs.upkeep.health.services import postgres, redis_server
from models import rights, server, site, task_figures
from models.database import DatabaseUnavailable, database, session
from models.expert import Expert
from models.migrations import runner
from models.migrations.adopt import columns_of, dependencies_unfollowed
from models.notifications import Trial, try_to_listen
from models.states import TaskState

LEAST_POSTGRES = 14
CLOCK_SECONDS = 5.0
NAMES_SHOWN = 5


def program_check(settings: Settings) -> Check:
    try:
        found = programs(settings)
    except SupervisorSilent:
        return red("programs", "supervisord does not answer", END_SUPERVISORD)
    except ServiceError as error:
        return warning("programs", str(error).partition(";")[0], "kos up")
    late = [f"{program.name} {program.state}" for program in found if not program.runs]
    if late:
        return red("programs", ", ".join(late), f"kos ctl tail {late[0].split()[0]}, then kos up")
    return ok("programs", f"{len(found)} running")


def service_checks(connections: Connections) -> Iterator[Check]:
    yield from _postgres(connections)
    yield _redis(connections)
    yield from _deployment(connections)
    yield from _work(connections)


def _postgres(connections: Connections) -> Iterator[Check]:
    try:
        connections.use_database()
        with session():
            found = server.state()
            yield _postgres_version(found.version)
            yield _notifications(connections.settings)
            yield _clock(found.now)
            if found.encoding != server.ENCODING:
                yield red("encoding", f"the database is {found.encoding}", server.ENCODING_REMEDY)
            yield from _tables()
            yield from _writes()
            yield from _rights(connections.settings)
            for name, check in (("experts", _experts), ("statuses", _statuses)):
                yield _guarded(name, check)
            try:
                yield from _unused()
                yield from _knowledge(connections.settings)
            except peewee.DatabaseError as error:
                yield _refused("site", error)
    except (ServiceUnreachable, DatabaseUnavailable) as error:
        otherwise = "kos up" if connections.settings.embedded_postgres else "check DATABASE_URL"
        yield red("postgres", str(error), remedy(error, otherwise))
    except InvalidInput as error:
        yield red("postgres", str(error), "correct DATABASE_URL")


def _notifications(settings: Settings) -> Check:
    """By trying it: whether the listener hears of new rows at once."""
    name = "KOS_DATABASE_DIRECT_URL" if settings.database_direct_url else "DATABASE_URL"
    url = settings.database_direct_url or settings.database_url or ""
    try:
        trial = try_to_listen(url)
    except DatabaseUnavailable as error:
        return red("notifications", f"{name}: {error}", f"check {name}")
    if trial is Trial.POOLED:
        detail = f"{name} goes through a pooler: new rows are looked for every second, not heard of"
        remedy = "set KOS_DATABASE_DIRECT_URL to Postgres itself, past its pooler"
        return warning("notifications", detail, remedy)
    if trial is Trial.SILENT:
        detail = f"{name} does not hear what DATABASE_URL notifies"
        return red("notifications", detail, "let both name the same database")
    return ok("notifications", f"{name} hears of new rows at once")


def _tables() -> Iterator[Check]:
    """Never names a command that would be refused: what refuses it comes first."""
    if newer := runner.unknown():
        yield red("tables", f"of a newer release: {', '.join(newer)}", "update this installation")
        return
    missing = runner.pending()
    if not missing:
        yield ok("tables", "up to date")
        return
    obstacles = list(site.obstacles())
    for found in obstacles:
        yield red("adoption", found.subject, found.meaning)
    command = "kos adopt" if site.adopted() else "kos migrate up"
    remedy = f"first {obstacles[0].meaning}" if obstacles else command
    yield red("tables", f"pending: {', '.join(missing)}", remedy)


def _writes() -> Iterator[Check]:
    """Red where Postgres answers and accepts no write: it is read-only, or its disk is full."""
    if not (runner.unknown() or runner.pending() or (written := postgres()).ok):
        yield red("postgres", written.detail, written.remedy)


def _rights(settings: Settings) -> Iterator[Check]:
    """Red where a role that is not the owner needs more grants than it has."""
    if runner.unknown() or runner.pending():
        return
    if lacking := rights.lacking(knowledge=settings.compat is Compat.KNOWLEDGE_OS):
        more = f" and {len(lacking) - NAMES_SHOWN} more" if len(lacking) > NAMES_SHOWN else ""
        detail = f"this role may not write {', '.join(lacking[:NAMES_SHOWN])}{more}"
        yield red("rights", detail, BY_SQLSTATE["42501"])


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    """One check of rows; tables that are not there yet, or not readable, end no other check."""
    try:
        return check()
    except peewee.DatabaseError as error:
        return _refused(name, error)


def _refused(name: str, error: peewee.DatabaseError) -> Check:
    reason = str(error).strip().splitlines()[0]
    return red(name, reason, remedy(error, "see the line on tables above"))


def _unused() -> Iterator[Check]:
    """What the site's programs write and ours does not read."""
    if "status" in columns_of(database, "tasks"):
        for found in site.unused():
            yield ok("site", f"{found.subject}; {found.meaning}")
        if dependencies_unfollowed(database):
            detail = "task_dependencies came after our tables, and nothing waits for it yet"
            yield warning("site", detail, "kos adopt --apply")


def _knowledge(settings: Settings) -> Iterator[Check]:
    if settings.compat is not Compat.KNOWLEDGE_OS:
        return
    if site.has_knowledge():
        yield ok("knowledge", "answers go to knowledge_nodes")
    else:
        yield red("knowledge", "there is no table knowledge_nodes here", "unset KOS_COMPAT")


def _postgres_version(number: int) -> Check:
    version = number // 10_000
    if version < LEAST_POSTGRES:
        return red("postgres", f"version {version}", f"use Postgres {LEAST_POSTGRES} or newer")
    return ok("postgres", f"version {version} answers")


def _clock(theirs: datetime) -> Check:
    off_seconds = abs(time.time() - theirs.timestamp())
    if off_seconds > CLOCK_SECONDS:
        detail = f"{off_seconds:.0f} s apart from that of Postgres"
        return warning("clock", detail, "set it by NTP: times in logs are of this clock")
    return ok("clock", "agrees with Postgres")


def _experts() -> Check:
    active = len(Expert.active())
    if not active:
        remedy = "kos experts add --from examples/experts.jsonl"
        return red("experts", "none is active, so no task can be assigned", remedy)
    return ok("experts", f"{active} active")


def _statuses() -> Check:
    """Warn of tasks with a status that we do not know, for nothing works them. It is no error:
    other programs of a site may use statuses of their own."""
    found = task_figures.unknown_statuses([state.value for state in TaskState])
    if not found:
        return ok("statuses", "every task has one that is known")
    named = ", ".join(f"{status!r} ({n})" for status, n in list(found.items())[:NAMES_SHOWN])
    remedy = "UPDATE tasks SET status = 'pending' WHERE status = ..., where they shall be worked"
    return warning("statuses", f"nothing works tasks with the status {named}", remedy)


def _redis(connections: Connections) -> Check:
    try:
        client = connections.redis
        about: Any = client.info()
        evicts = about.get("maxmemory", 0) and about.get("maxmemory_policy") != "noeviction"
        written = redis_server(client)
    except ServiceUnreachable as error:
        return red("redis", str(error), "kos up")
    except (redis.RedisError, ValueError) as error:
        otherwise = "kos up" if connections.settings.embedded_redis else "check REDIS_URL"
        return red("redis", str(error), remedy(error, otherwise))
    if not written.ok:
        return red("redis", written.detail, written.remedy)
    if evicts:
        keep = "redis-cli CONFIG SET maxmemory-policy noeviction"
        return red("redis", f"evicts keys ({about['maxmemory_policy']})", keep)
    return _redis_version(about, ours=connections.settings.embedded_redis)


def _deployment(connections: Connections) -> Iterator[Check]:
    """Whether another home uses this database or Redis; nothing where that is not known yet."""
    settings = connections.settings
    try:
        connections.use_database()
        with session():
            stands, other = inspect(
                connections.redis, location_of(settings.redis_url or "", settings.home)
            )
    except (
        ServiceUnreachable,
        InvalidInput,
        DatabaseUnavailable,
        peewee.DatabaseError,
        redis.RedisError,
    ):
        return  # said by the checks above
    if stands in CONFLICTS and other is not None:
        yield red("deployment", *conflict(stands, home=other.home, redis_at=other.redis_at))


WORK = ("backlog", "actors")


def _work(connections: Connections) -> Iterator[Check]:
    """What the health checker says of the work itself; nothing where it does not run."""
    try:
        reported = last_round(connections.redis)
    except (ServiceUnreachable, redis.RedisError):
        return  # said by the check of Redis
    for check in reported:
        if check.name in WORK:
            detail, remedy = str(check.detail), check.remedy or "kos status"
            yield ok(check.name, detail) if check.ok else red(check.name, detail, remedy)


# Versions with the fixes of October 2025 for Lua (CVE-2025-49844 and its kind), by release line:
# https://redis.io/blog/security-advisory-cve-2025-49844/ and the release notes of Valkey.
FIXED = {
    "redis": ((6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)),
    "valkey": ((7, 2, 11), (8, 0, 6), (8, 1, 4)),
}


def _redis_version(about: Mapping[str, Any], *, ours: bool) -> Check:
    """Names what runs. Whoever knows its password could use a hole in Lua, so it is no fault."""
    name = "valkey" if "valkey_version" in about else "redis"
    version = str(about.get(f"{name}_version", "?"))
    numbers = tuple(int(part) for part in version.split(".") if part.isdecimal())
    line = [fixed for fixed in FIXED[name] if fixed[:2] == numbers[:2]]
    safe = numbers >= (line[0] if line else FIXED[name][-1])
    remedy = (
        "a newer redis-server or valkey-server on PATH is taken at the next kos up"
        if ours
        else "update it, unless its distributor added them"
    )
    older = "" if safe else f"; older than the fixes for Lua of October 2025: {remedy}"
    return ok("redis", f"{name} version {version} answers{older}")
