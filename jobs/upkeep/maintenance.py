"""Periodic maintenance of the database and the queues, one function each."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path

import peewee
import redis

from jobs.process.clock import epoch_seconds
from jobs.queues.names import CONTROL_QUEUE, MAINTENANCE_QUEUE, NAMESPACE, llm_queue
from jobs.settings.load import Settings
from models import (
    attempt,
    block,
    counts,
    decision,
    model_loads,
    request,
    retention,
    task_views,
    webhook,
)
from models.bounded_connection import statement_limit
from models.database import database, session
from models.locks import lock_if_free

logger = logging.getLogger(__name__)

PRUNE_LOCK = 0x6B6F73_10
TIDY_LOCK = 0x6B6F73_11
DAY_SECONDS = 86_400
UPLOAD_GRACE_SECONDS = 3600.0
TASKS_A_BATCH = 1000
TASK_BATCHES = 100
LONGEST_STATEMENT_SECONDS = 1800.0
"""The first vacuum or prune of a large table takes minutes; nobody waits for it."""


def prune(settings: Settings, client: redis.Redis) -> dict[str, int]:
    """Delete history beyond its retention; returns the deleted counts, empty if another process is
    pruning."""
    with statement_limit(LONGEST_STATEMENT_SECONDS), session(), lock_if_free(PRUNE_LOCK) as mine:
        if not mine:
            return {}
        deleted = {
            "attempts": attempt.prune(settings.attempts_keep_days),
            "decisions": decision.prune(settings.decisions_keep_days),
            "requests": request.prune(settings.requests_keep_days),
            "loads": model_loads.prune(settings.attempts_keep_days),
            "blocks": block.prune(settings.blocks_keep_days),
            "deliveries": webhook.prune(settings.attempts_keep_days),
            "dead_letters": _prune_dead_letters(settings, client),
            "logs": _prune_logs(settings.log_directory, settings.logs_keep_days),
            "tasks": _prune_tasks(settings.tasks_keep_days),
            "uploads": prune_uploads(settings.upload_directory),
        }
        if wrong := counts.recount():
            logger.warning("counts_corrected counts=%d: rows were changed past our triggers", wrong)
    logger.info("pruned %s", " ".join(f"{what}={count}" for what, count in deleted.items()))
    return deleted


def tidy() -> bool:
    """ANALYZE the tables that churn; False when another one runs."""
    with statement_limit(LONGEST_STATEMENT_SECONDS), session(), lock_if_free(TIDY_LOCK) as mine:
        if not mine:
            return False
        for table in ("tasks", "kos_attempts", "kos_blocks", "kos_decisions", "kos_dependencies"):
            database.execute_sql(f"VACUUM (ANALYZE) {table}")
    logger.info("tidied")
    return True


def _prune_dead_letters(settings: Settings, client: redis.Redis) -> int:
    before_ms = int((epoch_seconds() - settings.dead_letters_keep_days * DAY_SECONDS) * 1000)
    queues = [CONTROL_QUEUE, MAINTENANCE_QUEUE]
    queues += [llm_queue(spec.name) for spec in settings.backends]
    deleted = 0
    for queue in queues:
        key = f"{NAMESPACE}:{queue}.XQ"
        ids = client.zrangebyscore(key, 0, before_ms)
        if ids:
            client.zrem(key, *ids)
            client.hdel(f"{key}.msgs", *ids)
            deleted += len(ids)
    return deleted


def _prune_tasks(keep_days: float) -> int:
    """Each batch is one transaction; what remains after the last is deleted next time."""
    deleted = 0
    if not keep_days:
        return deleted
    try:
        for _ in range(TASK_BATCHES):
            pruned = retention.prune(keep_days, limit=TASKS_A_BATCH)
            deleted += pruned
            if pruned < TASKS_A_BATCH:
                break
    except peewee.IntegrityError as error:
        # A foreign key of the site refers to the row: its owner decides.
        reason = str(error).strip().splitlines()[0]
        logger.warning("tasks_not_pruned remedy=KOS_TASKS_KEEP_DAYS=0 error=%s", reason)
    return deleted


def prune_uploads(directory: Path) -> int:
    """Uploaded files that no task names any more. A young directory may belong to a task that is
    being submitted."""
    oldest = time.time() - UPLOAD_GRACE_SECONDS
    old = {path.name: path for path in directory.glob("*") if path.stat().st_mtime < oldest}
    for name in old.keys() & task_views.uploads_in_use(list(old)):
        del old[name]
    for path in old.values():
        shutil.rmtree(path, ignore_errors=True)
    return len(old)


def _prune_logs(directory: Path, keep_days: float) -> int:
    """Rotated logs only: a live log is never the oldest of its name."""
    oldest = time.time() - keep_days * DAY_SECONDS
    deleted = 0
    for path in directory.glob("*.log.*"):
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
            deleted += 1
    return deleted
