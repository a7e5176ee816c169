"""Which tasks a list shows, however many there are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models import task_views
from models.base import fetch_all
from models.task_filter import LITERAL_AMONG, TaskFilter, has_words

pytestmark = pytest.mark.usefixtures("database_here")

MANY = 25_000
# The newest have the lowest numbers. Every tenth failed, and every hundredth has a rare model.
ROWS = """
INSERT INTO tasks (title, description, status, model, created_at)
SELECT 'Task ' || n, 'about the topic', CASE n %% 10 WHEN 0 THEN 'failed' ELSE 'completed' END,
  CASE n %% 100 WHEN 0 THEN 'rare' ELSE 'usual' END, now() - n * interval '1 second'
FROM generate_series(1, %(many)s) AS n
"""


def titles(chosen: TaskFilter, *, limit: int = 3, offset: int = 0) -> list[str]:
    return [row.title or "" for row in task_views.listing(chosen, limit=limit, offset=offset)]


def test_the_newest_are_found_by_a_word_that_is_in_every_task() -> None:
    fetch_all(ROWS, {"many": MANY})
    word = TaskFilter(search="topic")

    assert titles(word) == ["Task 1", "Task 2", "Task 3"]
    assert titles(word, offset=MANY - 2) == [f"Task {MANY - 1}", f"Task {MANY}"]
    assert titles(replace(word, model="rare")) == ["Task 100", "Task 200", "Task 300"]
    assert titles(replace(word, model="rare"), offset=248) == ["Task 24900", "Task 25000"]
    assert titles(replace(word, search=f"task {MANY}")) == [f"Task {MANY}"]
    assert len(task_views.newest_ids(word, limit=None)) == MANY


def test_a_text_without_words_of_the_index_is_looked_for_in_the_newest_tasks() -> None:
    fetch_all(ROWS, {"many": LITERAL_AMONG + 5})
    fetch_all("UPDATE tasks SET description = 'x -> y' WHERE title = 'Task 2'")

    assert len(task_views.newest_ids(TaskFilter(search="the"), limit=None)) == LITERAL_AMONG - 1
    assert titles(TaskFilter(search="->")) == ["Task 2"]
    assert [has_words(text) for text in ("the", "->", "the topic")] == [False, False, True]


LONG = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 300) AS n)"


@pytest.mark.parametrize("column", ["title", "category", "backend", "model", "last_error"])
def test_no_index_refuses_a_long_text(column: str) -> None:
    fetch_all(f"INSERT INTO tasks (description, {column}) VALUES ('d', {LONG}) RETURNING id")


@pytest.mark.parametrize("key", ["project", "upload", "rerun_of", "tags"])
def test_no_index_refuses_a_long_text_of_the_metadata(key: str) -> None:
    fetch_all(
        "INSERT INTO tasks (title, description, metadata) "
        f"VALUES ('t', 'd', jsonb_build_object(%s, {LONG})) RETURNING id",
        (key,),
    )


def test_of_texts_that_begin_alike_the_right_one_is_listed() -> None:
    start = "x" * 100
    fetch_all(
        "INSERT INTO tasks (title, description, model, metadata) "
        "SELECT n::text, 'd', %s || n, jsonb_build_object('project', %s || n) "
        "FROM generate_series(1, 2) AS n RETURNING id",
        (start, start),
    )

    assert titles(TaskFilter(model=f"{start}2")) == ["2"]
    assert titles(TaskFilter(project=f"{start}1")) == ["1"]
