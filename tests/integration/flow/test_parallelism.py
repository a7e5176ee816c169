"""A server that works on fewer requests than it takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from console.home import free_port
from jobs.queues.names import LIMITS
from models import database
from tests.support.system import System, running_system

WAITING = 40
KEEP_WAITING = """
INSERT INTO tasks (title, description)
SELECT 'Task ' || n, 'Summarise what is known about topic ' || n || ' in some sentences.'
FROM generate_series(1, %(waiting)s - (SELECT count(*) FROM tasks WHERE status <> 'completed')) n
"""
MODEL = {
    "name": "chat", "size_bytes": 4_000_000_000, "parameters": 7_000_000_000,
    "context_tokens": 32_768, "capabilities": ["completion"], "load_seconds": 0.5,
    "prefill_tokens_per_second": 5000, "decode_tokens_per_second": 30,
}  # fmt: skip
PROFILE = {"models": [MODEL], "slots": 8, "server_slots": 2}


@pytest.fixture
def narrow(migrated_url: str, redis_url: str, tmp_path: Path) -> Iterator[System]:
    with running_system(
        migrated_url, redis_url, tmp_path, time_scale=20.0, profile=PROFILE,
        SMART_WORKER_ADAPTIVE_CONCURRENCY="true", ADAPTIVE_CALC_INTERVAL_SEC="1",
        KOS_HEALTH_INTERVAL_SECONDS="0.5", KOS_HEALTH_PORT=str(free_port()),
    ) as running:  # fmt: skip
        yield running
    database.close_all()


def test_the_parallelism_of_a_server_is_found_out_and_named(narrow: System, redis_url: str) -> None:
    narrow.start("control", "llm-ollama", "listener", "health_checker")
    with closing(redis.Redis.from_url(redis_url)) as client:

        def found_out() -> bool:
            narrow.sql(KEEP_WAITING, {"waiting": WAITING})
            return b"answers 2 at a time" in (client.hget(LIMITS, "ollama") or b"")

        narrow.wait(found_out, deadline_seconds=120, what="two at a time")
