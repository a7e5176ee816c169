"""The examples are real work: enough of it, and wrong only where they say so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from console.operations.files import allowed_file
from jobs.policy.metadata import Submission, check_submission

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXAMPLES / name).read_text().splitlines()]


def problem(line: dict[str, Any]) -> str | None:
    checked = check_submission(line)
    if not isinstance(checked, Submission):
        return "; ".join(map(str, checked))
    for name in checked.files:
        _, wrong = allowed_file(name, base=EXAMPLES, roots=[EXAMPLES])
        if wrong:
            return wrong
    return None


def test_the_company_has_departments_and_two_languages() -> None:
    experts = lines("experts.jsonl")

    assert len(experts) >= 12
    assert len({expert["department"] for expert in experts}) >= 8
    russian = [expert for expert in experts if re.search("[а-я]", expert["system_prompt"])]
    assert 3 <= len(russian) < len(experts)
    assert len({expert["name"] for expert in experts}) == len(experts)


def test_the_tasks_are_many_and_mixed() -> None:
    tasks = lines("tasks.jsonl")

    assert len(tasks) >= 60
    assert len({task.get("priority") for task in tasks}) >= 4
    assert {"coding", "fast", "reasoning", "default"} <= {task.get("category") for task in tasks}
    assert sum(bool(re.search("[а-я]", task["description"])) for task in tasks) >= 12
    assert sum("after" in task for task in tasks) >= 10
    assert sum("schema" in task for task in tasks) >= 5


def test_exactly_two_are_refused_and_say_so() -> None:
    refused = {task["custom_id"]: problem(task) for task in lines("tasks.jsonl")}

    wrong = {key: text for key, text in refused.items() if text}

    assert set(wrong) == {"bad-category", "bad-file"}
    assert "poetry" in str(wrong["bad-category"])
    assert "does not exist" in str(wrong["bad-file"])


def test_the_small_tasks_are_short_calm_and_two_are_refused() -> None:
    tasks = lines("small-tasks.jsonl")
    good = [task for task in tasks if "refused" not in task["custom_id"]]

    assert len(good) >= 18
    for task in good:
        assert problem(task) is None
        assert task["metadata"]["temperature"] <= 0.2
        assert task["metadata"]["max_tokens"] <= 96
    assert sum("schema" in task for task in good) >= 2
    assert [task["after"] for task in good if "after" in task] == [["small-story"]]
    assert [task["files"] for task in good if "files" in task] == [["notes/garden.md"]]


def test_dependencies_stand_earlier_and_experts_exist() -> None:
    names = {expert["name"] for expert in lines("experts.jsonl")}
    seen: set[str] = set()
    for task in lines("tasks.jsonl"):
        assert set(task.get("after", ())) <= seen
        assert task.get("expert", "Anna Weber") in names
        assert task["custom_id"] not in seen
        seen.add(task["custom_id"])


def test_every_shipped_file_is_somebodys_task() -> None:
    tasks = [*lines("tasks.jsonl"), *lines("small-tasks.jsonl")]
    named = {name for task in tasks for name in task.get("files", ())}
    shipped = {
        str(path.relative_to(EXAMPLES))
        for folder in ("code", "logs", "notes")
        for path in (EXAMPLES / folder).iterdir()
        if path.is_file()
    }

    assert shipped <= named
