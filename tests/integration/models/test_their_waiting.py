"""What programs of the site say of waiting: its dependencies, and when to try a row again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from models import backlog, database
from models.migrations import runner
from models.task_views import one
from tests.support import original_site
from tests.support.original_site import run

ASSIGN = "UPDATE tasks SET assignee_expert_id = (SELECT id FROM experts LIMIT 1)"


@pytest.fixture
def url(postgres_url: str) -> Iterator[str]:
    original_site.build(postgres_url, "with history and dependencies", rows=0)
    database.configure(postgres_url, pool_size=5)
    yield postgres_url
    database.close_all()


def insert(url: str, title: str, **columns: str) -> str:
    names = ", ".join(["title", *columns])
    values = ", ".join([f"'{title}'", *columns.values()])
    return str(run(url, f"INSERT INTO tasks ({names}) VALUES ({values}) RETURNING id")[0][0])


def may_run(url: str) -> set[str]:
    run(url, f"{ASSIGN} WHERE assignee_expert_id IS NULL")
    with database.session():
        return {row.id for row in backlog.window(100)}


def follow(url: str, parent: str, child: str) -> None:
    run(
        url,
        "INSERT INTO task_dependencies (parent_task_id, child_task_id, dependency_type) "
        f"VALUES ('{parent}', '{child}', 'blocks')",
    )


def test_a_child_of_its_dependencies_waits_from_before_and_after_the_adoption(url: str) -> None:
    parent, before = insert(url, "parent"), insert(url, "before")
    follow(url, parent, before)
    runner.up()
    after = insert(url, "after")
    follow(url, parent, after)

    assert may_run(url) == {parent}
    run(url, f"UPDATE tasks SET status = 'completed', result = 'x' WHERE id = '{parent}'")

    assert may_run(url) == {before, after}
    with database.session():
        task = one(after)
    assert task is not None
    assert task.depends_on == [parent]


def test_a_line_that_is_deleted_or_changed_is_waited_for_no_longer(url: str) -> None:
    runner.up()
    first, second, child = (insert(url, title) for title in ("first", "second", "child"))
    follow(url, first, child)

    run(url, f"UPDATE task_dependencies SET parent_task_id = '{second}'")
    assert run(url, "SELECT depends_on_id::text FROM kos_dependencies") == [(second,)]
    run(url, "DELETE FROM task_dependencies")

    assert may_run(url) == {first, second, child}


def test_a_row_waits_for_its_parent(url: str) -> None:
    parent = insert(url, "parent")
    before = insert(url, "before", parent_task_id=f"'{parent}'")
    runner.up()
    after = insert(url, "after", parent_task_id=f"'{parent}'")
    moved = insert(url, "moved", parent_task_id=f"'{parent}'")
    run(url, f"UPDATE tasks SET parent_task_id = NULL WHERE id = '{moved}'")

    assert may_run(url) == {parent, moved}
    run(url, f"UPDATE tasks SET status = 'completed' WHERE id IN ('{parent}', '{moved}')")

    assert may_run(url) == {before, after}


def test_a_dependencies_table_that_comes_later_is_followed_at_the_next_migration(url: str) -> None:
    run(url, "ALTER TABLE task_dependencies RENAME TO aside")
    runner.up()
    run(url, "ALTER TABLE aside RENAME TO task_dependencies")
    parent, child = insert(url, "parent"), insert(url, "child")
    follow(url, parent, child)

    assert runner.up() == []

    assert may_run(url) == {parent}


@pytest.mark.parametrize("moment", ["now() + interval '1 hour'", "'2999-01-01T00:00:00'"])
def test_a_row_is_not_taken_before_the_time_that_the_old_worker_wrote(
    url: str, moment: str
) -> None:
    later = f"jsonb_build_object('next_retry_after', {moment})"
    insert(url, "before", metadata=later)
    stamp = run(url, "SELECT updated_at FROM tasks")
    runner.up()
    assert run(url, "SELECT updated_at FROM tasks") == stamp
    insert(url, "after", metadata=later)
    given_back = insert(url, "given back")
    run(url, f"UPDATE tasks SET metadata = {later} WHERE id = '{given_back}'")

    assert may_run(url) == set()
    run(url, f"UPDATE tasks SET metadata = '{{}}' WHERE id = '{given_back}'")

    assert may_run(url) == {given_back}


def test_a_time_without_a_zone_is_one_of_the_site(url: str) -> None:
    run(url, "ALTER ROLE CURRENT_USER SET TimeZone = 'Europe/Moscow'")
    try:
        insert(url, "before", metadata="""'{"next_retry_after": "2999-01-01T03:00:00"}'""")
        runner.up()
        insert(url, "after", metadata="""'{"next_retry_after": "2999-01-01T03:00:00"}'""")
    finally:
        run(url, "ALTER ROLE CURRENT_USER RESET TimeZone")

    found = run(url, "SELECT DISTINCT next_attempt_at AT TIME ZONE 'UTC' FROM tasks")
    assert [row[0].isoformat() for row in found] == ["2999-01-01T00:00:00"]


@pytest.mark.parametrize(
    "metadata", ['{"next_retry_after": "soon"}', '{"next_retry_after": 7}', "[1]", '"text"',
                 '{"next_retry_after": "2020-01-01T00:00:00Z"}',
                 '{"next_retry_after": "2020-99-01"}']
)  # fmt: skip
def test_what_is_no_future_time_keeps_no_row_back(url: str, metadata: str) -> None:
    runner.up()
    row = insert(url, "task", metadata=f"'{metadata}'")
    run(url, f"UPDATE tasks SET metadata = '{metadata}' WHERE id = '{row}'")

    assert may_run(url) == {row}
