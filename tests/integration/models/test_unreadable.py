"""Rows with values that Python cannot hold: read as text, and refused alone."""

from __future__ import annotations

import pytest

from models import backlog, foreign
from models.base import fetch_all
from models.foreign import Unreadable

pytestmark = pytest.mark.usefixtures("database_here")

NESTED = "[" * 1500 + "]" * 1500


def insert(column: str, value: str) -> str:
    rows = fetch_all(
        f"INSERT INTO tasks (title, description, complexity, assignee_expert_id, {column}) "
        "VALUES ('t', 'd', 0.5, gen_random_uuid(), %s) RETURNING id::text",
        (value,),
    )
    return str(rows[0]["id"])


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("metadata", '{"budget": 1e5000}', "refused: metadata.budget: is a number of 5001 digits"),
        ("metadata", NESTED, "refused: metadata: is nested deeper than 64 levels"),
        ("avoid", "[[1e5000]]", "refused: avoid[0][0]: is a number of 5001 digits"),
        ("epoch", "9223372036854775807", "refused: epoch: is 9223372036854775807, which"),
        ("attempt_count", "2147483647", "refused: attempt_count: is 2147483647, which"),
        ("description", "x" * (foreign.MAX_DESCRIPTION_BYTES + 1), "too_long: description: has"),
    ],
)
def test_the_row_alone_is_refused_with_its_field(column: str, value: str, reason: str) -> None:
    good = insert("result", "none")
    fault = insert(column, value) if column != "description" else insert_long(value)

    assert [row.id for row in backlog.window(10)] == [good]

    (row,) = fetch_all("SELECT status, last_error FROM tasks WHERE id = %s", (fault,))
    assert row["status"] == "failed"
    assert row["last_error"].startswith(reason)
    (why,) = fetch_all("SELECT reason FROM kos_decisions WHERE task_id = %s", (fault,))
    assert why["reason"].startswith("refused: ")


def test_a_long_description_without_an_expert_is_read_in_part() -> None:
    fetch_all("INSERT INTO tasks (title, description) VALUES ('t', %s) RETURNING 1", ("x" * 10**6,))

    (row,) = backlog.unassigned(10)

    assert len(row.description or "") == backlog.CHARS_READ


def test_an_urgent_row_is_assigned_and_planned_before_older_ones() -> None:
    fetch_all(
        "INSERT INTO tasks (title, description, created_at, category, complexity, "
        "assignee_expert_id) SELECT 't', 'd', now() - interval '9 hours', 'coding', 0.5, "
        "CASE WHEN mod(n, 2) = 0 THEN gen_random_uuid() END FROM generate_series(1, 400) n "
        "RETURNING 1"
    )
    urgent = insert("priority", "urgent")
    fetch_all(
        "INSERT INTO tasks (title, description, priority) VALUES ('u', 'd', 'urgent') RETURNING 1"
    )

    assert backlog.unassigned(1)[0].title == "u"
    rows, _ = backlog.window_of_all_kinds(100, least=64)
    assert urgent in {row.id for row in rows}


@pytest.mark.parametrize("text", ['{"a": 1e5000}', NESTED, "[1e400]", '{"a": [1, {"b": "c"}]}'])
def test_the_reader_never_raises_and_its_result_can_be_shown(text: str) -> None:
    (row,) = fetch_all("SELECT %s::jsonb AS value, %s::json AS plain", (text, text))

    assert f"{row['value']} {row['plain']}"


def test_brackets_inside_strings_are_no_nesting() -> None:
    assert not isinstance(foreign.read_json('["' + "[" * 500 + '"]'), Unreadable)


def insert_long(value: str) -> str:
    rows = fetch_all(
        "INSERT INTO tasks (title, description, complexity, assignee_expert_id) "
        "VALUES ('t', %s, 0.5, gen_random_uuid()) RETURNING id::text",
        (value,),
    )
    return str(rows[0]["id"])
