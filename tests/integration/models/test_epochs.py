"""Whatever takes an epoch refuses an old one: a worker that lost its lease changes nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from inspect import signature

import pytest

from models.base import fetch_one
from models.task import Ending, Measures, Task
from tests.integration.models.test_transitions import OWNER, claim, queue, running, submit

pytestmark = pytest.mark.usefixtures("database_here")

ENDING = Ending(measures=Measures())

# How each method is called; a new one that takes an epoch belongs here.
CALLS: dict[str, Callable[[str, int], object]] = {
    "give_back": Task.give_back,
    "claim": lambda task_id, epoch: Task.claim(task_id, epoch, owner=OWNER, lease_seconds=60),
    "heartbeat": lambda task_id, epoch: Task.heartbeat(
        OWNER, [(task_id, epoch, {"step": 9})], lease_seconds=3600
    ),
    "save_checkpoint": lambda task_id, epoch: Task.save_checkpoint(task_id, epoch, {"step": "x"}),
    "mark_alone": Task.mark_alone,
    "complete": lambda task_id, epoch: Task.complete(
        task_id, epoch, ENDING, result="old", score=1.0
    ),
    "retry": lambda task_id, epoch: Task.retry(task_id, epoch, ENDING, at=None, spend_attempt=True),
    "fail": lambda task_id, epoch: Task.fail(task_id, epoch, ENDING),
    "finish_cancel": lambda task_id, epoch: Task.finish_cancel(task_id, epoch, ENDING),
}
OF_QUEUED = ("give_back", "claim")


def row_of(task_id: str) -> dict[str, object]:
    row = fetch_one("SELECT * FROM tasks WHERE id = %s", (task_id,))
    assert row is not None
    return dict(row)


def in_the_right_state(name: str) -> tuple[str, int]:
    """A task that ``name`` would change with its present epoch, which is above 1."""
    if name in OF_QUEUED:
        task_id = submit()
        Task.give_back(task_id, queue(task_id))
        return task_id, queue(task_id)
    task_id, epoch = running()
    Task.retry(task_id, epoch, ENDING, at=None, spend_attempt=False)
    epoch = queue(task_id)
    claim(task_id, epoch)
    if name == "finish_cancel":
        Task.cancel([task_id])
    return task_id, epoch


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("other", [-1, 1])
def test_another_epoch_changes_nothing(name: str, other: int) -> None:
    task_id, epoch = in_the_right_state(name)
    before = row_of(task_id)

    assert not CALLS[name](task_id, epoch + other)

    assert row_of(task_id) == before


@pytest.mark.parametrize("name", CALLS)
def test_the_present_epoch_changes_the_row(name: str) -> None:
    task_id, epoch = in_the_right_state(name)
    before = row_of(task_id)

    assert CALLS[name](task_id, epoch)

    assert row_of(task_id) != before


def test_every_method_that_takes_an_epoch_is_tried_here() -> None:
    own = {name for name in vars(Task) if inspect.ismethod(getattr(Task, name))}
    takes_epoch = {name for name in own if "epoch" in signature(getattr(Task, name)).parameters}

    assert len(takes_epoch) >= 7
    assert takes_epoch <= CALLS.keys()
