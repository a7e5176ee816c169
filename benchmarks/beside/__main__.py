"""Beside: our system and the other one's programs on one database, counted by plain SQL.

    scripts/bench beside [--minutes 10] [--seed 1]

The old worker claims rows (also ours, when they look stuck to it), the orchestrator assigns, splits
and sets rows back, an evolver cancels, somebody deletes, and a consumer works what its stream
delegates; all while rows of every shape are inserted. A trigger of the benchmark records each
change of a status. Exits 1 where a count that must be 0 is not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import redis
from rich.console import Console
from rich.table import Table

from benchmarks.beside.strangers import Strangers
from jobs.admission.expert_tasks import GRACE_SECONDS
from models import database
from tests.support import original_site
from tests.support.embedded import fresh_database, postgres_server, redis_server
from tests.support.original_site import run
from tests.support.system import System, running_system

SETTLE_SECONDS = 180.0
NEW = "title NOT LIKE 'task %'"
ENDED = "('completed', 'failed', 'cancelled')"

RECORDS = f"""
CREATE TABLE beside_changes (task_id uuid, old text, new text, who text,
  at timestamptz DEFAULT clock_timestamp());
CREATE TABLE beside_calls (id serial, task_id uuid, who text, began timestamptz,
  ended timestamptz);
CREATE FUNCTION beside_record() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO beside_changes (task_id, old, new, who)
  VALUES (OLD.id, OLD.status, CASE TG_OP WHEN 'UPDATE' THEN NEW.status ELSE 'deleted' END,
    current_setting('application_name'));
  RETURN NULL; END $$;
CREATE TRIGGER beside_record AFTER UPDATE ON tasks FOR EACH ROW
  WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION beside_record();
CREATE TRIGGER beside_deleted AFTER DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION beside_record();
CREATE VIEW beside_ours AS SELECT a.task_id, called.began, a.finished_at AS ended
  FROM kos_attempts a LEFT JOIN tasks t ON t.id = a.task_id, LATERAL (
    SELECT greatest(a.started_at, t.created_at + interval '{GRACE_SECONDS} s') AS began) AS called
  WHERE a.error_code IS DISTINCT FROM 'delegated' AND called.began < a.finished_at;
CREATE VIEW beside_resets AS SELECT task_id, at FROM beside_changes
  WHERE new = 'deleted' OR who NOT LIKE 'kos%' AND new IN ('pending', 'cancelled');
"""

OVERLAP = """
(SELECT count(*) FROM {a} a JOIN {b} b ON a.task_id = b.task_id AND a.began < b.began
  AND b.began < coalesce(a.ended, now()) {also}
  AND NOT EXISTS (SELECT FROM beside_resets r WHERE r.task_id = a.task_id
    AND r.at BETWEEN a.began - interval '50 ms' AND b.began))
"""

FACTS = {
    "tasks inserted": f"SELECT (SELECT count(*) FROM tasks WHERE {NEW}) + "
    "(SELECT count(*) FROM beside_changes WHERE new = 'deleted')",
    "deleted": "SELECT count(*) FROM beside_changes WHERE new = 'deleted'",
    "completed": f"SELECT count(*) FROM tasks WHERE status = 'completed' AND {NEW}",
    "failed": f"SELECT count(*) FROM tasks WHERE status = 'failed' AND {NEW}",
    "cancelled": f"SELECT count(*) FROM tasks WHERE status = 'cancelled' AND {NEW}",
    "calls of the old worker": "SELECT count(*) FROM beside_calls WHERE who = 'old worker'",
    "calls of the consumer": "SELECT count(*) FROM beside_calls WHERE who = 'expert worker'",
    "our attempts": "SELECT count(*) FROM kos_attempts",
    "our calls": "SELECT count(*) FROM beside_ours",
    "of them taken over": "SELECT count(*) FROM kos_attempts WHERE outcome = 'taken_over'",
    "rows left to the consumer": "SELECT count(DISTINCT task_id) FROM kos_attempts "
    "WHERE error_code = 'delegated'",
    "rows set back by the orchestrator": "SELECT count(*) FROM beside_changes "
    "WHERE who = 'orchestrator' AND new = 'pending' AND old <> 'pending'",
}
MUST_BE_ZERO = {
    "tasks without an end": f"SELECT count(*) FROM tasks WHERE status NOT IN {ENDED}",
    "attempts without an end": "SELECT count(*) FROM kos_attempts WHERE outcome IS NULL "
    "OR finished_at IS NULL",
    "ends of ours over an end": "SELECT count(*) FROM beside_changes WHERE who LIKE 'kos%' "
    f"AND old IN {ENDED}",
    "second ends of ours, nobody set back": f"""
SELECT count(*) FROM beside_changes a JOIN beside_changes b ON a.task_id = b.task_id AND a.at < b.at
WHERE a.who LIKE 'kos%' AND b.who LIKE 'kos%' AND a.new IN {ENDED} AND b.new IN {ENDED}
  AND NOT EXISTS (SELECT FROM beside_changes r WHERE r.task_id = a.task_id AND r.new = 'pending'
    AND r.who NOT LIKE 'kos%' AND r.at BETWEEN a.at AND b.at)""",
    "tasks in two of our attempts at once": "SELECT count(*) FROM kos_attempts a JOIN kos_attempts "
    "b ON a.task_id = b.task_id AND a.epoch < b.epoch AND b.started_at < a.finished_at",
    "our calls of what they were calling": "SELECT "
    + OVERLAP.format(a="beside_calls", b="beside_ours", also=""),
    "their calls of what we were calling": "SELECT "
    + OVERLAP.format(a="beside_ours", b="beside_calls", also=""),
    "completed rows with a lease": "SELECT count(*) FROM tasks WHERE lease_owner IS NOT NULL",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with postgres_server() as postgres, redis_server() as server:
        url = fresh_database(postgres.url)
        original_site.build(url, "with history and dependencies", rows=50_000)
        with (
            tempfile.TemporaryDirectory(prefix="kos-beside-") as scratch,
            closing(redis.Redis.from_url(server.url)) as stream,
            running_system(
                url, server.url, Path(scratch), time_scale=25.0, KOS_COMPAT="knowledge_os",
                SMART_WORKER_MAX_CONCURRENT="6",
            ) as system,
        ):  # fmt: skip
            run(url, RECORDS)
            system.start("control", "llm-ollama", "llm-mlx", "listener", "scheduler")
            strangers = Strangers(url, stream, seed=options.seed)
            strangers.start()
            time.sleep(options.minutes * 60)
            strangers.stop()
            _settle(system)
            system.stop()
            facts = _counted(url, FACTS)
            wrong = _counted(url, MUST_BE_ZERO)
            errors = strangers.errors
        database.close_all()
    _print(facts, wrong, options.minutes)
    for error in sorted(set(errors)):
        print(f"{errors.count(error)} x {error}")
    return 1 if any(wrong.values()) else 0


def _settle(system: System) -> None:
    """Until all has ended; what does not is counted."""
    end = time.monotonic() + SETTLE_SECONDS
    while _open(system) and time.monotonic() < end:
        time.sleep(1.0)


def _open(system: System) -> int:
    rows = system.sql(MUST_BE_ZERO["tasks without an end"])
    return int(rows[0]["count"])


def _counted(url: str, statements: dict[str, str]) -> dict[str, int]:
    return {name: int(run(url, statement)[0][0]) for name, statement in statements.items()}


def _print(facts: dict[str, int], wrong: dict[str, int], minutes: float) -> None:
    table = Table("count", "n", title=f"{minutes:g} minutes beside the other system's programs")
    for name, n in facts.items():
        table.add_row(name, str(n))
    table.add_section()
    for name, n in wrong.items():
        table.add_row(f"{name} (must be 0)", str(n))
    Console(width=100).print(table)


if __name__ == "__main__":
    sys.exit(main())
