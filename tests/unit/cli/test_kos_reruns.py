"""The line that runs an ended task again."""

from __future__ import annotations

from typing import Any

import pytest

from console.operations.reruns import line_of
from jobs.policy.metadata import Submission, check_submission
from models.task_rows import WholeTask
from tests.support.task_rows import whole_task

FIRST = "aaaaaaaa-0000-0000-0000-000000000001"


def row(**changes: Any) -> WholeTask:
    request = {"title": "A title", "description": "Explain a lease.", "priority": "high"}
    return whole_task(**{"id": FIRST, "category": "coding", "expert": "Anna"} | request | changes)


def checked(line: dict[str, Any]) -> Submission:
    submission = check_submission(line)
    assert isinstance(submission, Submission), submission
    return submission


def test_everything_that_was_asked_for_is_asked_for_again() -> None:
    first = {"max_tokens": 400, "preferred_model": "qwen3:8b", "required_backend": "mlx", "own": 1}

    again = checked(line_of(row(metadata=first), {}))

    assert (again.title, again.description, again.priority) == (
        "A title",
        "Explain a lease.",
        "high",
    )
    assert (again.expert, again.category) == ("Anna", "coding")
    assert again.metadata.items() >= {**first, "rerun_of": FIRST}.items()


def test_another_model_is_not_bound_to_the_first_server() -> None:
    first = {"preferred_model": "qwen3:8b", "required_backend": "mlx", "preferred_source": "mlx"}

    again = checked(line_of(row(metadata=first), {"model": "llama3:8b", "expert": "Boris"}))

    assert (again.model, again.expert) == ("llama3:8b", "Boris")
    assert again.metadata["preferred_model"] == "llama3:8b"
    assert not {"required_backend", "preferred_source"} & set(again.metadata)


def test_what_the_system_wrote_about_the_first_run_is_not_copied() -> None:
    first = {"gateway_caller": "open-webui", "schedule": "daily", "rerun_of": "x"}

    again = line_of(row(metadata=first), {})

    assert again["metadata"] == {"rerun_of": FIRST}


@pytest.mark.parametrize(
    "metadata", [None, [], "text", {"max_tokens": "many", "files_required": 7}]
)
def test_a_strangers_row_runs_again_too(metadata: Any) -> None:
    odd = row(metadata=metadata, priority="asap", category="poetry", description=None)

    again = checked(line_of(odd, {}))

    assert again.description == "A title"
    assert again.metadata == {"assignee_hint": "Anna", "rerun_of": FIRST}
