"""What ran here, as a workload: with what was in memory, what is heavy and how much of it fits."""

from __future__ import annotations

import pytest

from console.operations.errors import InvalidInput
from console.operations.history import workload_of_history
from jobs.settings.load import load
from models.base import fetch_all

pytestmark = pytest.mark.usefixtures("database_here")

SETTINGS = load(
    {"KOS_HOME": "/nowhere", "ADAPTIVE_MAX_HEAVY_OLLAMA": "1", "ADAPTIVE_OLLAMA_MAX": "4"}
)


def ran(second: int, backend: str, model: str, *, load: float, heavy: bool = False) -> None:
    """An attempt of ten seconds beside its load, of a task and a block of its own."""
    fetch_all(
        """
        WITH task AS (
          INSERT INTO tasks (title, description, status, category) VALUES ('t', 'd', 'completed',
            'coding') RETURNING id),
        block AS (
          INSERT INTO kos_blocks (plan_id, backend, model, heavy, lane_order, task_ids, policy,
            reason)
          VALUES (gen_random_uuid(), %(backend)s, %(model)s, %(heavy)s, 1, '{}', 'fifo', 'test')
          RETURNING id)
        INSERT INTO kos_attempts (task_id, number, epoch, block_id, backend, model, started_at,
          finished_at, load_seconds, duration_seconds, outcome)
        SELECT task.id, 1, 1, block.id, %(backend)s, %(model)s, now() + %(at)s * interval '1 s',
          now() + (%(at)s + 10) * interval '1 s', %(load)s, 10 + %(load)s, 'completed'
        FROM task, block RETURNING id
        """,
        {"backend": backend, "model": model, "heavy": heavy, "at": second, "load": load},
    )


def test_the_first_attempt_without_a_load_tells_what_was_in_memory() -> None:
    ran(0, "ollama", "warm", load=0.0)
    ran(20, "ollama", "other", load=5.0)
    ran(0, "mlx", "cold", load=3.0)

    workload = workload_of_history(SETTINGS)

    assert {one.name: one.resident for one in workload.backends} == {
        "ollama": ("warm",),
        "mlx": (),
    }


def test_heavy_models_are_bounded_as_they_are_here() -> None:
    ran(0, "ollama", "light", load=0.0)
    ran(5, "ollama", "heavy", load=5.0, heavy=True)

    workload = workload_of_history(SETTINGS)

    assert {one.model: one.heavy for one in workload.models} == {"light": False, "heavy": True}
    assert [one.heavy_limit for one in workload.backends] == [1]


def test_without_history_it_says_what_to_do() -> None:
    with pytest.raises(InvalidInput, match="--workload"):
        workload_of_history(SETTINGS)
