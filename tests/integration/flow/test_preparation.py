"""What is built for a task fits into the context that its plan asks of the server."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from jobs.attempt import prompts
from jobs.attempt.lease_keeper import RunningAttempt
from jobs.attempt.preparation import prepare
from jobs.attempt.processors.base import TaskContext
from jobs.planning.snapshots import task_view
from jobs.policy.types import TaskView
from jobs.process.clock import utc_now
from jobs.settings.load import load
from llm.types import CancelToken
from models import backlog
from models.base import fetch_all
from models.task import Ending, Measures, NewTask, Task
from models.task_rows import ClaimedTask
from tests.support.queued import queue_rows

pytestmark = pytest.mark.usefixtures("database_here")

LONG = "Some finding of an earlier task. " * 3000
CODE = "\n".join(f"def function_{n}(argument): return argument * {n}" for n in range(600))


def submit(description: str, **metadata: object) -> str:
    (task_id,) = Task.submit([NewTask(title="t", description=description, metadata=metadata)])
    assert task_id is not None
    fetch_all(
        "UPDATE tasks SET assignee_expert_id = (SELECT id FROM experts LIMIT 1), complexity = 0.5 "
        "WHERE id = %s RETURNING id",
        (task_id,),
    )
    return task_id


def cut_short(task_id: str) -> None:
    epoch = dispatch(task_id)
    assert Task.claim(task_id, epoch, owner="o", lease_seconds=60)
    ending = Ending(measures=Measures(), error="cut", error_code="truncated")
    assert Task.retry(task_id, epoch, ending, at=None, spend_attempt=True)


def dispatch(task_id: str) -> int:
    ((_, epoch),) = queue_rows([task_id], backend="ollama", model="m")
    return epoch


def prepared(
    home: Path, planned: TaskView, *, num_ctx: int, model_context: int | None = None
) -> tuple[ClaimedTask, TaskContext]:
    epoch = dispatch(planned.id)
    claimed = Task.claim(planned.id, epoch, owner="o", lease_seconds=60)
    assert claimed is not None
    running = RunningAttempt(
        planned.id, epoch, "ollama", CancelToken(), threading.current_thread(), 0.0
    )
    settings = load({"KOS_HOME": str(home), "KOS_FILE_ROOTS": str(home)}, in_container=False)
    context = prepare(claimed, settings, running, num_ctx=num_ctx, model_context=model_context)
    return claimed.row, context


def built_as_planned(home: Path, *, asked_of_server: bool) -> tuple[int, int]:
    """Plan the only row of the window and prepare it; (its num_ctx, tokens of prompt and answer).

    ``asked_of_server``: whether the server takes a context with the request.
    """
    (row,) = backlog.window(10)
    planned = task_view(row, utc_now())
    claimed, context = prepared(home, planned, num_ctx=planned.num_ctx if asked_of_server else 0)
    assert context.max_tokens == planned.max_tokens
    assert context.brief is bool(claimed.faults)
    prompt = prompts.build(
        context.persona,
        title=context.title,
        description=context.description,
        budget_tokens=context.prompt_budget_tokens,
        context=context.context,
        dependencies=context.dependencies,
    )
    return planned.num_ctx, prompt.tokens + context.max_tokens


@pytest.mark.parametrize("asked_of_server", [True, False])
@pytest.mark.parametrize(
    ("case", "num_ctx"),
    [("plain", 8192), ("file", 8192), ("earlier", 8192), ("cut short", 8192), ("long", 16384)],
)
def test_a_prompt_fits_what_its_plan_asks_for(
    tmp_path: Path, case: str, num_ctx: int, asked_of_server: bool
) -> None:
    (tmp_path / "a.py").write_text(CODE)
    if case == "file":
        submit("Review this file.", file_path=str(tmp_path / "a.py"))
    elif case == "earlier":
        child, parent = submit("Sum up."), submit("Find something.")
        fetch_all(
            "UPDATE tasks SET status = 'completed', result = %s WHERE id = %s RETURNING id",
            (LONG, parent),
        )
        fetch_all("INSERT INTO kos_dependencies VALUES (%s, %s) RETURNING 1", (child, parent))
    elif case == "cut short":
        task_id = submit("Write much.")
        cut_short(task_id)
        cut_short(task_id)
    else:
        submit("Sum up. " + (LONG[:30_000] if case == "long" else ""))

    asked, used = built_as_planned(tmp_path, asked_of_server=asked_of_server)

    assert asked == num_ctx
    assert used <= num_ctx


@pytest.mark.parametrize("model_context", [1000, 4000])
def test_half_of_a_small_context_is_left_to_the_prompt(tmp_path: Path, model_context: int) -> None:
    submit("Write much.", max_tokens=3000)
    (row,) = backlog.window(10)

    _, context = prepared(
        tmp_path, task_view(row, utc_now()), num_ctx=0, model_context=model_context
    )

    assert (context.context_tokens, context.max_tokens) == (model_context, model_context // 2)
