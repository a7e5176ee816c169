"""Behind PgBouncer in transaction mode: nothing stops, nothing of ours stays on a lent session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import psycopg2
import pytest

from console.operations.connections import Connections
from console.operations.doctor.check import Check, Level
from console.operations.doctor.services import service_checks
from jobs.settings.load import load
from jobs.upkeep.maintenance import tidy
from models import database
from models.base import fetch_one, fetch_soon
from models.database import session
from models.locks import locked
from models.migrations import runner
from tests.support.embedded import fresh_database
from tests.support.poolers import pgbouncer
from tests.support.system import running_system

OURS = ("UTC", "3s", "8s")
SETTINGS = (
    "SELECT current_setting('TimeZone'), current_setting('lock_timeout'), "
    "current_setting('idle_in_transaction_session_timeout')"
)
HELD = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
SESSIONS = 8


class Pooled(NamedTuple):
    url: str
    direct_url: str


@pytest.fixture
def pooled(postgres_url: str) -> Iterator[Pooled]:
    with pgbouncer(postgres_url, pool_size=SESSIONS) as url:
        yield Pooled(url, postgres_url)
        database.close_all()


@pytest.fixture
def through(pooled: Pooled) -> Pooled:
    """This process works through the pooler, on a migrated database."""
    database.configure(pooled.url, pool_size=4)
    runner.up()
    return pooled


def settings_of_strangers(url: str) -> set[tuple[str, ...] | None]:
    """What others of the pooler find on its sessions, each looked at."""
    found: set[tuple[str, ...] | None] = set()
    connections = [psycopg2.connect(url) for _ in range(SESSIONS)]
    for connection in connections:
        with connection.cursor() as cursor:
            cursor.execute(SETTINGS)
            found.add(cursor.fetchone())
    for connection in connections:
        connection.close()
    return found


def notifications(pooled: Pooled, **environ: str) -> Check:
    environ = {"DATABASE_URL": pooled.url, "REDIS_URL": "redis://127.0.0.1:9/0", **environ}
    checks = {check.name: check for check in service_checks(Connections(load(environ)))}
    return checks.get("notifications") or checks["postgres"]


def test_tasks_complete_with_a_direct_address_and_without(
    pooled: Pooled, redis_url: str, tmp_path: Path
) -> None:
    with running_system(pooled.url, redis_url, tmp_path) as system:
        system.start()
        system.wait(lambda: "listener_polls" in system.log("listener"), what="a warning")
        polled = [system.insert(f"Task {n}", "Name three rivers.") for n in range(4)]
        for task_id in polled:
            system.wait_status(task_id, "completed", deadline_seconds=60)

        system.stop("listener")
        (tmp_path / "listener.log").unlink()
        system.environ["KOS_DATABASE_DIRECT_URL"] = pooled.direct_url
        system.start("listener")
        system.wait(lambda: "listener_ready" in system.log("listener"), what="the listener")
        heard = system.insert("Heard", "Name three lakes.")
        system.wait_status(heard, "completed", deadline_seconds=60)

        assert "listener_polls" not in system.log("listener")
        outcomes = {row["outcome"] for task in [*polled, heard] for row in system.attempts(task)}
        assert outcomes == {"completed"}
    database.close_all()
    assert not settings_of_strangers(pooled.url) & {OURS}


def test_our_settings_hold_in_each_transaction_and_reach_nobody_else(through: Pooled) -> None:
    with session():
        assert database.behind_pooler()
        assert database.database.execute_sql(SETTINGS).fetchone() == OURS
        with database.database.atomic():
            assert database.database.execute_sql(SETTINGS).fetchone() == OURS
        assert fetch_soon("SELECT current_setting('lock_timeout') AS own", {}) == [{"own": "500ms"}]

    assert not settings_of_strangers(through.url) & {OURS}


def test_a_lock_ends_with_its_transaction(through: Pooled) -> None:
    with session(), locked(41, wait_seconds=1) as renew:
        renew()
        assert fetch_one(HELD) == {"count": 1}
    with session():
        assert fetch_one(HELD) == {"count": 0}


def test_what_may_not_share_a_transaction_runs_alone(through: Pooled) -> None:
    assert tidy()


def test_the_doctor_finds_the_pooler_by_trying(through: Pooled, postgres_url: str) -> None:
    found = notifications(through)
    assert (found.level, "KOS_DATABASE_DIRECT_URL" in str(found.remedy)) == (Level.WARNING, True)

    direct = through.direct_url
    assert notifications(through, KOS_DATABASE_DIRECT_URL=direct).level is Level.OK
    assert notifications(through, KOS_DATABASE_DIRECT_URL=through.url).level is Level.WARNING
    other = fresh_database(postgres_url)
    assert notifications(through, KOS_DATABASE_DIRECT_URL=other).level is Level.RED
    gone = "postgresql://u:p@127.0.0.1:9/db"
    assert notifications(through, KOS_DATABASE_DIRECT_URL=gone).level is Level.RED


def test_a_parameter_that_the_pooler_refuses_is_told_with_the_remedy(pooled: Pooled) -> None:
    refused = pooled._replace(url=f"{pooled.url}?options=-c%20statement_timeout%3D5s")

    found = notifications(refused)

    assert found.level is Level.RED
    assert "unsupported startup parameter" in found.detail
    assert "ignore_startup_parameters" in str(found.remedy)


def test_a_session_of_postgres_itself_keeps_our_settings(postgres_url: str) -> None:
    with closing(database.direct_connection(postgres_url, "kos-test")) as connection:
        assert not connection.behind_pooler
        with connection.cursor() as cursor:
            cursor.execute(SETTINGS)
            assert cursor.fetchone() == OURS
