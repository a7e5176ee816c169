"""Migrations on an empty database and over tables that stand already."""

from __future__ import annotations

import threading

import psycopg2
import pytest

from models import database
from models.migrations import runner
from models.task import NewTask, Task
from tests.support.embedded import Server, drop_database
from tests.support.system import migrate

EXISTING = """
CREATE TABLE experts (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar(255) UNIQUE NOT NULL,
  role varchar(100), department varchar(100), system_prompt text, is_active boolean,
  metadata jsonb, created_at timestamptz DEFAULT now(), salary numeric);
CREATE TABLE domains (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text);
CREATE TABLE tasks (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), title varchar(500) NOT NULL, description text,
  status varchar(20), priority varchar(10), assignee_expert_id uuid REFERENCES experts(id),
  creator_expert_id uuid, domain_id uuid REFERENCES domains(id), parent_task_id uuid,
  metadata jsonb, result text, created_at timestamp, updated_at timestamp DEFAULT now(),
  completed_at timestamp, their_column int DEFAULT 7);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN NEW.updated_at = now(); RETURN NEW; END $$;
CREATE TRIGGER tasks_updated BEFORE UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION touch();
INSERT INTO tasks (title, status, priority, metadata) VALUES
  ('old done', 'completed', 'high', NULL), ('old open', NULL, NULL, NULL);
"""


def run_sql(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def applied() -> list[str]:
    return [row.name for row in runner.status() if row.applied_at is not None]


@pytest.fixture
def configured(postgres_url: str) -> str:
    database.configure(postgres_url, pool_size=5)
    return postgres_url


def test_up_is_repeatable_and_status_tells_what_is_applied(configured: str) -> None:
    first, second = runner.up(), runner.up()

    assert len(first) == len(runner.status())
    assert second == []
    assert all(row.applied_at is not None for row in runner.status())


def test_existing_tables_are_adopted_and_nothing_of_theirs_is_lost(configured: str) -> None:
    run_sql(configured, EXISTING)

    migrate(configured)

    assert run_sql(configured, "SELECT title, their_column FROM tasks ORDER BY title") == [
        ("old done", 7),
        ("old open", 7),
    ]
    triggers = run_sql(
        configured,
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'tasks'::regclass AND NOT tgisinternal",
    )
    assert ("tasks_updated",) in triggers
    assert ("kos_touch_updated_at",) not in triggers


def test_a_stranger_may_insert_nulls_into_an_adopted_table(configured: str) -> None:
    run_sql(configured, EXISTING)
    migrate(configured)

    run_sql(configured, "INSERT INTO tasks (title, status, metadata) VALUES ('new', NULL, NULL)")

    row = run_sql(
        configured, "SELECT status, priority, metadata::text FROM tasks WHERE title = 'new'"
    )
    assert row == [("pending", "medium", "{}")]


def test_down_takes_back_only_what_was_added(configured: str) -> None:
    run_sql(configured, EXISTING)
    migrate(configured)

    for _ in runner.status():
        runner.down()

    columns = run_sql(
        configured,
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'tasks'",
    )
    assert ("their_column",) in columns
    assert ("epoch",) not in columns
    assert len(run_sql(configured, "SELECT 1 FROM tasks")) == 2


def test_down_refuses_to_drop_a_table_with_rows(configured: str) -> None:
    migrate(configured)
    with database.session():
        Task.submit([NewTask(title="kept", description="kept")])
    while len(applied()) > 1:
        runner.down()

    with pytest.raises(runner.MigrationFailed, match="holds 1 rows"):
        runner.down()

    assert run_sql(configured, "SELECT title FROM tasks") == [("kept",)]


def test_a_check_that_forbids_our_states_is_named_with_its_remedy(configured: str) -> None:
    run_sql(configured, EXISTING)
    run_sql(
        configured,
        "ALTER TABLE tasks ADD CONSTRAINT their_states CHECK "
        "(status IN ('pending', 'in_progress', 'completed', 'failed'))",
    )

    with pytest.raises(runner.MigrationFailed, match=r"their_states.*queued.*ALTER TABLE tasks"):
        runner.up()


def test_an_id_that_is_no_uuid_is_refused_by_name(configured: str) -> None:
    run_sql(configured, "CREATE TABLE tasks (id serial PRIMARY KEY, title text)")

    with pytest.raises(
        runner.MigrationFailed, match="tasks needs a uuid column id, found: integer"
    ):
        runner.up()


def test_a_database_that_is_not_utf8_is_refused_with_the_remedy(shared_postgres: Server) -> None:
    run_sql(
        shared_postgres.url,
        "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc "
        "LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
    )
    url = shared_postgres.url.rpartition("/")[0] + "/latin"
    database.configure(url, pool_size=2)
    try:
        with pytest.raises(runner.MigrationFailed, match=r"is LATIN1: make one with CREATE"):
            runner.up()
    finally:
        drop_database(shared_postgres.url, url)


def test_every_parameter_of_libpq_may_stand_in_the_url(postgres_url: str) -> None:
    run_sql(postgres_url, "CREATE SCHEMA apart")
    parameters = (
        "application_name=theirs&keepalives_idle=7&target_session_attrs=read-write"
        "&options=-c%20search_path%3Dapart%20-c%20statement_timeout%3D9s"
    )
    database.configure(f"{postgres_url}?{parameters}", pool_size=2, application_name="kos-test")
    runner.up()

    with database.session():
        row = database.database.execute_sql(
            "SELECT current_setting('application_name'), current_setting('statement_timeout'), "
            "current_setting('timezone'), current_setting('client_encoding'), "
            "to_regclass('apart.kos_attempts')::text"
        ).fetchone()
    assert row == ("kos-test theirs", "9s", "UTC", "UTF8", "kos_attempts")


def test_two_migrations_at_once_apply_each_step_once(configured: str) -> None:
    applied: list[list[str]] = []
    threads = [threading.Thread(target=lambda: applied.append(runner.up())) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert sorted(len(names) for names in applied) == [0, 0, 0, len(runner.status())]


def test_every_step_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in runner.DIRECTORY.glob("0*.py")]

    assert sorted(numbers) == [f"{number:04d}" for number in range(1, len(numbers) + 1)]
