"""Tags and projects: what strangers write in metadata is found, counted and defaulted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from jobs.planning.assigner import assign_page
from jobs.planning.roster import Roster
from models import counts, database, project, task_views
from models.base import fetch_all, fetch_one
from models.expert import Expert
from models.migrations import runner
from models.project import Defaults
from models.task import NewTask, Task
from models.task_filter import TaskFilter


@pytest.fixture(autouse=True)
def rows(migrated_url: str) -> Iterator[None]:
    database.configure(migrated_url, pool_size=4, application_name="kos-test")
    with database.session():
        yield
    database.close_all()


def submit(**metadata: Any) -> str:
    [task_id] = Task.submit([NewTask(title="t", description="d", metadata=metadata)])
    assert task_id
    return task_id


def metadata_of(task_id: str) -> dict[str, Any]:
    row = fetch_one(
        "SELECT t.metadata, e.name AS expert FROM tasks t LEFT JOIN experts e "
        "ON e.id = t.assignee_expert_id WHERE t.id = %s::uuid",
        (task_id,),
    )
    assert row
    return {**row["metadata"], "expert": row["expert"]}


def test_tasks_are_listed_by_tag_and_project_whatever_else_stands_there() -> None:
    both = submit(tags=["a", "b"], project="site")
    submit(tags=["b"], project="shop")
    for odd in ("a", {"a": 1}, [1, None, ["a"]], None):
        submit(tags=odd, project=7)

    listed = task_views.listing(TaskFilter(tag="a", project="site"))
    assert [(row.id, row.project, row.tags) for row in listed] == [(both, "site", ["a", "b"])]
    counted = task_views.facets(task_views.newest_ids(limit=100), ["project"])
    assert counted["project"] == {"7": 4, "shop": 1, "site": 1}
    assert (counted["tag"]["a"], counted["tag"]["b"]) == (1, 2)


def test_totals_of_a_project_are_kept_through_every_change() -> None:
    first, second = submit(project="site"), submit(project="site")
    submit()
    fetch_all("UPDATE tasks SET status = 'completed' WHERE id = %s::uuid", (first,))
    fetch_all(
        'UPDATE tasks SET metadata = metadata || \'{"project": "shop"}\' WHERE id = %s::uuid',
        (second,),
    )

    assert counts.by_project() == {"site": {"completed": 1}, "shop": {"open": 1}}
    assert counts.recount() == 0
    fetch_all("DELETE FROM tasks WHERE id = %s::uuid", (first,))
    assert [one.name for one in project.listed()] == ["shop"]


def test_a_task_that_names_nobody_gets_the_defaults_of_its_project() -> None:
    for name, department in (("Anna", "Backend"), ("Boris", "Content")):
        Expert.create(name=name, department=department, role="Editor", metadata={})
    project.keep("site", Defaults("Boris", "vllm"))
    plain = submit(project="site")
    hinted = submit(project="site", assignee_hint="Anna", preferred_source="ollama")
    other = submit(project="shop")

    assign_page(Roster())

    assert (metadata_of(plain)["expert"], metadata_of(plain)["preferred_source"]) == (
        "Boris",
        "vllm",
    )
    assert metadata_of(hinted)["expert"] == "Anna"
    assert metadata_of(hinted)["preferred_source"] == "ollama"
    assert metadata_of(other)["preferred_source"] != "vllm"
    why = fetch_one("SELECT reason FROM kos_decisions WHERE task_id = %s::uuid", (plain,))
    assert why
    assert 'its project asks for the name "Boris"' in why["reason"]
    assert "vllm is the default of its project" in why["reason"]


def test_a_default_that_is_gone_leaves_the_choice_to_the_text() -> None:
    Expert.create(name="Anna", department="Backend", role="Engineer", metadata={})
    project.keep("site", Defaults("Nobody", None))
    task_id = submit(project="site")

    assign_page(Roster())

    assert metadata_of(task_id)["expert"] == "Anna"


def test_the_step_back_leaves_the_counts_as_they_were() -> None:
    submit(project="site")
    while runner.down() and "0026_projects" in {
        row.name for row in runner.status() if row.applied_at is not None
    }:
        pass

    submit(project="site")

    assert counts.by_status()["pending"] == 2
