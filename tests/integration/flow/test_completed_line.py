"""The line that operators count completed tasks by."""

from __future__ import annotations

import re

from tests.support.system import System

FEW = 30


def told(system: System) -> int:
    return sum(
        int(count)
        for count in re.findall(r"Completed: (\d+) tasks processed", system.log("control"))
    )


def run_some(system: System, *, in_all: int) -> None:
    system.sql(
        "INSERT INTO tasks (title, description) SELECT 'Task ' || n, "
        "'Summarise what is known about topic ' || n || ' in some sentences.' "
        "FROM generate_series(1, %s) AS n",
        (FEW,),
    )
    system.wait(
        lambda: told(system) >= in_all, deadline_seconds=40, what="all told without another plan"
    )


def test_at_the_end_of_a_backlog_every_completed_task_was_told_once(system: System) -> None:
    system.start("control", "llm-ollama", "llm-mlx", "listener")

    run_some(system, in_all=FEW)
    run_some(system, in_all=2 * FEW)

    assert told(system) == system.counts()["completed"] == 2 * FEW
