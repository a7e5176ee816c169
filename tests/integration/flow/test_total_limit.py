"""What is sent is bounded over all servers together, not by each one's own limit alone."""

from __future__ import annotations

from pathlib import Path

from models import database
from tests.support.system import running_system

WAITING = 40


def test_no_more_is_sent_than_may_run_in_all_and_a_small_hand(
    migrated_url: str, redis_url: str, tmp_path: Path
) -> None:
    with running_system(
        migrated_url, redis_url, tmp_path, SMART_WORKER_MAX_CONCURRENT="2", KOS_DISPATCH_AHEAD="1"
    ) as system:
        system.sql(
            "INSERT INTO tasks (title, description) SELECT 'Task ' || n, "
            "'Summarise what is known about topic ' || n || ' in some sentences.' "
            "FROM generate_series(1, %s) AS n",
            (WAITING,),
        )
        system.start("control", "listener")

        system.wait(lambda: system.counts().get("queued", 0) >= 3, what="a full hand")

        assert system.counts() == {"queued": 3, "pending": WAITING - 3}
        served = system.sql("SELECT DISTINCT backend FROM tasks WHERE status = 'queued'")
        assert {row["backend"] for row in served} == {"mlx", "ollama"}
    database.close_all()
