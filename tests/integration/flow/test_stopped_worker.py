"""A model server whose worker was stopped, or never came up."""

from __future__ import annotations

from tests.support.system import System

FEW = 40


def insert_some(system: System) -> None:
    system.sql(
        "INSERT INTO tasks (title, description) SELECT 'Task ' || n, "
        "'Summarise what is known about topic ' || n || ' in some sentences.' "
        "FROM generate_series(1, %s) AS n",
        (FEW,),
    )


def test_tasks_of_a_server_without_a_worker_go_back_and_run_elsewhere(system: System) -> None:
    system.start("control", "llm-ollama", "listener")

    insert_some(system)
    pinned = system.insert("Pinned", "Say hello.", metadata={"preferred_source": "mlx"})

    system.wait(
        lambda: system.counts().get("completed", 0) == FEW + 1, deadline_seconds=90, what="all done"
    )
    assert {row["backend"] for row in system.sql("SELECT backend FROM kos_attempts")} == {"ollama"}
    assert system.attempts(pinned)[-1]["backend"] == "ollama"


def test_a_server_is_used_again_once_its_worker_is_back(system: System) -> None:
    system.start("control", "llm-ollama", "listener")
    required = system.insert("Required", "Say hello.", metadata={"required_backend": "mlx"})
    system.wait(
        lambda: "no worker takes its tasks" in str(system.task(required)["last_error"]),
        deadline_seconds=60,
        what="the missing worker is named",
    )
    assert system.task(required)["status"] == "pending"

    system.start("llm-mlx")

    system.wait_status(required, "completed", deadline_seconds=60)
