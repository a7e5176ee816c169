"""Tasks that kill real workers become poison; their neighbours complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from models import database
from tests.support import crashers
from tests.support.system import System, running_system

ROWS = 60
CRASHERS = 2


@pytest.fixture
def system(migrated_url: str, redis_url: str, tmp_path: Path) -> Iterator[System]:
    """One death alone is poison here, so that the worker starts seldom."""
    with running_system(
        migrated_url, redis_url, tmp_path,
        MLX_API_URL="off", KOS_MAX_CRASHES="1", PYTHONPATH=crashers.install(tmp_path),
    ) as running:  # fmt: skip
        yield running
    database.close_all()


def test_two_tasks_that_kill_their_worker_are_poison_and_all_others_complete(
    system: System,
) -> None:
    crashers.insert(system, rows=ROWS, crashers=CRASHERS)
    system.start("control", "listener", crashers.WORKER)

    end = crashers.until_ended(system, deadline_seconds=240)

    assert (end.poison, end.completed, end.other_ends) == (CRASHERS, ROWS - CRASHERS, 0)
    assert end.deaths >= CRASHERS
    assert end.innocent_crash_counts == {0: ROWS - CRASHERS}
