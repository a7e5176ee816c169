"""What programs do to rows, done by hand, so that commands have something to show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from models import attempt, decision
from models.database import configure, session
from models.decision import NewDecision
from models.expert import Expert
from models.task import Claimed, Ending, Measures, Task
from tests.support.queued import queue_rows


@contextmanager
def rows(postgres_url: str) -> Iterator[None]:
    """A session beside the commands, which close theirs when they end."""
    configure(postgres_url, pool_size=4, application_name="kos-test")
    with session():
        yield


def add_expert(name: str = "Anna", *, active: bool = True) -> str:
    Expert.add_missing(
        [{"name": name, "department": "QA", "system_prompt": "p", "is_active": active}]
    )
    return str(Expert.get(Expert.name == name).id)


def queue(task_id: str, *, backend: str = "mlx", model: str = "qwen:4b") -> int:
    """``pending -> queued`` in a block of its own; the epoch."""
    ((_, epoch),) = queue_rows([task_id], backend=backend, model=model)
    return epoch


def start(task_id: str, *, owner: str = "host/1/1.0") -> Claimed:
    claimed = Task.claim(task_id, queue(task_id), owner=owner, lease_seconds=60)
    assert claimed is not None
    return claimed


def complete(task_id: str, *, result: str = "the answer") -> None:
    claimed = start(task_id)
    measures = Measures(load_seconds=2.0, first_token_seconds=0.5, duration_seconds=6.0,
                        prompt_tokens=100, completion_tokens=40)  # fmt: skip
    assert Task.complete(task_id, claimed.epoch, Ending(measures), result=result, score=0.9)


def fail(task_id: str, *, error: str = "gave up after 3 attempts") -> None:
    claimed = start(task_id)
    assert Task.fail(task_id, claimed.epoch, Ending(error=error))


def decide(task_id: str) -> None:
    rejected = [{"option": "ollama", "reason": "loads for 15 s"}]
    decision.record([NewDecision(task_id, "route", "mlx/qwen:4b", "is in memory", rejected)])


def attempts_of(task_id: str) -> int:
    return len(attempt.of_task(task_id))
