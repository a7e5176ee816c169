"""The database of the system that ours replaces: adopted whole, and left as it was."""

from __future__ import annotations

import threading
from contextlib import closing

import psycopg2
import pytest

from models import database, site
from models.migrations import runner
from models.task import NewTask, Task
from tests.support import original_site
from tests.support.original_site import run

OURS = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
  AND relname NOT LIKE 'kos\\_%' AND relkind IN ('r', 'S', 'i') ORDER BY 1
"""

TO_PLAIN_NAMES = """
ALTER TABLE kos_attempts RENAME TO attempts;
ALTER TABLE attempts RENAME CONSTRAINT kos_attempts_pkey TO attempts_pkey;
ALTER TABLE attempts RENAME CONSTRAINT kos_attempts_task_id_epoch_key TO attempts_task_id_epoch_key;
ALTER SEQUENCE kos_attempts_id_seq RENAME TO attempts_id_seq;
ALTER TABLE kos_blocks RENAME TO blocks;
ALTER TABLE blocks RENAME CONSTRAINT kos_blocks_pkey TO blocks_pkey;
ALTER TABLE kos_decisions RENAME TO decisions;
ALTER TABLE kos_loads RENAME TO loads;
ALTER TABLE kos_dependencies RENAME TO task_dependencies;
ALTER TABLE kos_migrations RENAME TO schema_migrations;
DELETE FROM schema_migrations WHERE name = '0007_names_of_our_own';
"""


@pytest.fixture
def url(postgres_url: str) -> str:
    database.configure(postgres_url, pool_size=5)
    return postgres_url


@pytest.mark.parametrize("form", original_site.FORMS)
def test_every_form_of_it_is_adopted_and_left_as_it_was(url: str, form: str) -> None:
    original_site.build(url, form, rows=2_000)
    schema, columns = original_site.schema(url), original_site.columns(url)
    rows = original_site.fingerprint(url, columns)

    runner.up()
    adopted = original_site.fingerprint(url, columns)
    take_all_back()

    assert adopted == rows
    assert original_site.fingerprint(url, columns) == rows
    assert original_site.schema(url) == schema


def test_its_history_and_dependencies_are_never_ours(url: str) -> None:
    original_site.build(url, "with history and dependencies", rows=2)
    run(
        url,
        "INSERT INTO task_dependencies (parent_task_id, child_task_id) "
        "SELECT a.id, b.id FROM tasks a, tasks b WHERE a.id < b.id",
    )

    runner.up()
    with database.session():
        first = Task.submit([NewTask(title="first", description="first")])[0]
        assert first is not None
        Task.submit([NewTask(title="next", description="next", after=(first,))])

    assert run(url, "SELECT count(*) FROM task_dependencies") == [(1,)]
    assert run(url, "SELECT migration_name FROM schema_migrations ORDER BY 1") == [
        ("001_init",),
        ("002_orchestrator",),
    ]
    assert run(url, "SELECT count(*) FROM kos_dependencies") == [(2,)]  # one line of each


def test_a_refused_step_leaves_nothing_half_adopted(url: str) -> None:
    original_site.build(url, "init only", rows=10)
    run(url, "CREATE VIEW kos_batches AS SELECT 1 AS theirs")  # in the way of step 0005
    schema = original_site.schema(url)

    with pytest.raises(runner.MigrationFailed):
        runner.up()

    assert original_site.schema(url) == schema


def test_reading_the_status_writes_nothing(url: str) -> None:
    schema = original_site.schema(url)

    assert runner.pending() == [row.name for row in runner.status()]

    assert original_site.schema(url) == schema


def test_tables_of_ours_under_plain_names_are_moved_with_their_rows(url: str) -> None:
    runner.up()
    names = run(url, OURS)
    run(url, "INSERT INTO kos_attempts (task_id, number, epoch) VALUES (gen_random_uuid(), 1, 1)")
    run(url, "INSERT INTO kos_loads (backend, model, seconds, cause) VALUES ('b', 'm', 1, 'c')")
    run(url, TO_PLAIN_NAMES)

    assert runner.pending() == ["0007_names_of_our_own"]
    assert runner.up() == ["0007_names_of_our_own"]

    assert run(url, OURS) == names
    assert run(url, "INSERT INTO kos_attempts (task_id, number, epoch) "
                    "VALUES (gen_random_uuid(), 1, 1) RETURNING id") == [(2,)]  # fmt: skip
    assert run(url, "SELECT model FROM kos_loads") == [("m",)]


def test_what_others_wrote_into_a_shared_history_stays(url: str) -> None:
    runner.up()
    run(url, TO_PLAIN_NAMES)
    run(url, "INSERT INTO schema_migrations (name, applied) VALUES ('0001_of_theirs', now())")

    runner.up()

    assert run(url, "SELECT name FROM schema_migrations") == [("0001_of_theirs",)]
    assert not runner.pending()


def test_a_time_limit_of_the_role_does_not_cut_a_migration(url: str) -> None:
    run(url, "CREATE TABLE tasks (id uuid PRIMARY KEY, title text, created_at timestamptz)")
    run(url, "ALTER ROLE CURRENT_USER SET statement_timeout = '500ms'")
    try:
        database.configure(url, pool_size=5)
        with closing(psycopg2.connect(url)) as another:
            another.cursor().execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
            over = threading.Timer(1.0, another.rollback)
            over.start()
            runner.up()
            over.join()
    finally:
        run(url, "SET statement_timeout = 0; ALTER ROLE CURRENT_USER RESET statement_timeout")

    assert not runner.pending()


def take_all_back() -> None:
    for _ in runner.status():
        runner.down()


@pytest.mark.parametrize(
    ("change", "obstacle"),
    [
        ("metadata DROP DEFAULT, ALTER metadata TYPE json USING metadata::json",
         "column metadata of table tasks is json, not jsonb: "
         "run ALTER TABLE tasks ALTER COLUMN metadata TYPE jsonb USING metadata::jsonb"),
        ("result TYPE varchar(50) USING left(result, 50)",
         "column result of table tasks is too short: "
         "run ALTER TABLE tasks ALTER COLUMN result TYPE text"),
        ("title TYPE text, ADD attempt_count int",
         "column attempt_count of table tasks may be NULL: "
         "run UPDATE tasks SET attempt_count = 0 WHERE attempt_count IS NULL; "
         "ALTER TABLE tasks ALTER COLUMN attempt_count SET DEFAULT 0, "
         "ALTER COLUMN attempt_count SET NOT NULL"),
        ("priority DROP DEFAULT, ALTER priority TYPE int USING 1",
         "column priority of table tasks is integer, not varchar: "
         "run ALTER TABLE tasks ALTER COLUMN priority TYPE varchar USING priority::varchar"),
        ("title TYPE text, ADD progress int",
         "column progress of table tasks is integer, not jsonb: use a database of its own"),
    ],
)  # fmt: skip
def test_a_column_that_cannot_hold_what_we_write_is_found_first_with_its_remedy(
    url: str, change: str, obstacle: str
) -> None:
    original_site.build(url, "init only", rows=10)
    run(url, f"ALTER TABLE tasks ALTER {change}")
    with database.session():
        found = [f"{item.subject}: {item.meaning}" for item in site.obstacles()]

    with pytest.raises(runner.MigrationFailed) as refused:
        runner.up()

    assert str(refused.value) == obstacle
    assert found == [obstacle]
    remedy = obstacle.partition(": run ")[2]
    if remedy:
        run(url, remedy)
        assert runner.up()


def test_a_view_that_keeps_a_column_of_ours_is_named_when_it_is_to_go(url: str) -> None:
    original_site.build(url, "init only", rows=1)
    runner.up()
    run(url, "CREATE VIEW every_task AS SELECT * FROM tasks")

    with pytest.raises(runner.MigrationFailed, match=r"view every_task depends on column"):
        take_all_back()


def test_what_only_some_rows_or_programs_meet_is_told(url: str) -> None:
    original_site.build(url, "init only", rows=1)
    run(url, "ALTER TABLE tasks ADD tenant int; UPDATE tasks SET tenant = 1; "
             "ALTER TABLE tasks ALTER tenant SET NOT NULL; "
             "ALTER TABLE tasks ENABLE ROW LEVEL SECURITY")  # fmt: skip

    with database.session():
        found = {item.subject: item.meaning for item in site.findings()}

    assert found["column tenant of tasks must have a value"].startswith("kos submit cannot add")
    assert found["row security on tasks"] == "rows that its policies hide are not worked"


def test_every_table_of_ours_may_be_published_whole(url: str) -> None:
    run(url, "CREATE PUBLICATION everything FOR ALL TABLES")

    runner.up()

    without_identity = run(
        url,
        "SELECT relname FROM pg_class c WHERE relkind = 'r' AND relname LIKE 'kos\\_%' "
        "AND relreplident = 'd' AND NOT EXISTS (SELECT FROM pg_index i "
        "WHERE i.indrelid = c.oid AND i.indisprimary)",
    )
    assert without_identity == []  # Postgres would refuse every update and delete
