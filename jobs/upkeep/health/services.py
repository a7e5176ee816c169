"""Checks of the database, Redis, the disk and the outside agents."""

from __future__ import annotations

import shutil
import time
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import peewee
import redis
import requests

from jobs.policy.deployment import CONFLICTS, conflict
from jobs.policy.fields import literal
from jobs.upkeep import backups
from jobs.upkeep.deployment import Location, settle
from jobs.upkeep.health.checks import HealthCheck
from jobs.upkeep.health.refusals import remedy
from llm import direct
from models import decision
from models.database import DatabaseUnavailable, database, session
from models.decision import NewDecision

LOW_DISK_BYTES = 500_000_000
LOW_DISK_SHARE = 0.02
AGENT_SECONDS = 2.0
PROBE_KEY = "kos:probe"
PROBE_KEPT_SECONDS = 60
SEE_POSTGRES = "see DATABASE_URL, or start it with `kos up`"
SEE_REDIS = "see REDIS_URL, or start it with `kos up`"


def postgres() -> HealthCheck:
    began = time.monotonic()
    try:
        with session():
            _write_and_undo()
    except DatabaseUnavailable as error:
        return HealthCheck("postgres", False, str(error), remedy(error, SEE_POSTGRES))
    return HealthCheck("postgres", True, f"answers in {(time.monotonic() - began) * 1000:.1f} ms")


def _write_and_undo() -> None:
    """Write in a transaction and roll it back: a read-only server or a full disk still answers
    SELECT."""
    with database.atomic() as transaction:
        decision.record([NewDecision(str(uuid4()), "plan", None, "probe")])
        transaction.rollback()


def redis_server(client: redis.Redis) -> HealthCheck:
    began = time.monotonic()
    try:
        # A replica, or a server out of memory, answers a ping but accepts no write.
        client.set(PROBE_KEY, 1, ex=PROBE_KEPT_SECONDS)
    except redis.RedisError as error:
        return HealthCheck("redis", False, str(error), remedy(error, SEE_REDIS))
    return HealthCheck("redis", True, f"answers in {(time.monotonic() - began) * 1000:.1f} ms")


def deployment(client: redis.Redis, here: Location) -> HealthCheck:
    """Whether this Redis is the one that counts the slots of this database. An emptied one gets its
    id back.

    Raises RedisError, DatabaseUnavailable.
    """
    try:
        with session():
            stands, other = settle(client, here)
    except peewee.ProgrammingError as error:
        return HealthCheck("deployment", False, literal(str(error)), "kos migrate status")
    if stands in CONFLICTS and other is not None:
        detail, remedy = conflict(stands, home=other.home, redis_at=other.redis_at)
        return HealthCheck("deployment", False, detail, remedy)
    return HealthCheck("deployment", True, f"slots are counted at {here.redis_at}")


def disk(home: Path) -> HealthCheck:
    try:
        usage = shutil.disk_usage(home)
    except OSError as error:
        return HealthCheck("disk", False, f"{home}: {error}", "check that KOS_HOME exists")
    free = f"{usage.free / 1e9:.1f} GB free at {home}"
    low = usage.free < LOW_DISK_BYTES or usage.free / usage.total < LOW_DISK_SHARE
    remedy = "free some space, or move KOS_HOME; `kos ctl status` shows what stopped"
    return HealthCheck("disk", not low, free, remedy if low else "")


def backup(directory: Path, *, now: datetime) -> HealthCheck:
    """Whether the nightly backup exists."""
    try:
        created_at = backups.newest(directory)
    except OSError as error:
        return HealthCheck("backup", False, f"{directory}: {error}", "check KOS_BACKUP_DIR")
    if not backups.is_late(created_at, now=now):
        return HealthCheck("backup", True, f"the newest is of {created_at:%Y-%m-%d %H:%M}")
    detail = (
        f"the newest is of {created_at:%Y-%m-%d %H:%M}" if created_at else f"none in {directory}"
    )
    remedy = (
        f"kos backup {directory}/{backups.NAME.format(day=now.astimezone())}; see backup_failed "
    )
    return HealthCheck("backup", False, detail, f"{remedy}in the log of control")


def agent(name: str, url: str | None, usual_url: str) -> list[HealthCheck]:
    """Victoria or Veronica. If one is away, tasks delegated to it are done by the expert.

    Without a configured URL the usual one is tried; no answer there means that the agent is not
    used.
    """
    where = f"{(url or usual_url).rstrip('/')}/status"
    try:
        answer = direct.get(where, seconds=AGENT_SECONDS)
    except requests.RequestException as error:
        remedy = f"start it, or unset {name.upper()}_URL; tasks for it go to the expert meanwhile"
        return [HealthCheck(name, False, literal(str(error)), remedy)] if url else []
    off = _levels_off(answer)
    if off:
        remedy = "restart its container: scripts/check_and_start_containers.sh"
        return [HealthCheck(name, False, f"off: {', '.join(off)}", remedy)]
    return [HealthCheck(name, answer.status_code < 500, f"HTTP {answer.status_code} at {where}")]


def _levels_off(answer: requests.Response) -> list[str]:
    """The levels of Victoria that its status says do not run; [] where it says nothing."""
    try:
        body = answer.json()
    except ValueError:
        return []
    levels = body.get("victoria_levels") if isinstance(body, dict) else None
    return [str(k) for k, on in levels.items() if on is False] if isinstance(levels, dict) else []
