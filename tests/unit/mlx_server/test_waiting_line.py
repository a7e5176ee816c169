"""Since when a model is needed that is not in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from llm.mlx_server.waiting_line import WaitingLine


@pytest.mark.parametrize(
    ("evicted_at", "since"),
    [(None, 5.0), (3.0, 5.0), (50.0, 50.0)],
    ids=["never", "before", "after"],
)
def test_the_wait_for_a_model_counts_anew_from_its_eviction(
    evicted_at: float | None, since: float
) -> None:
    """Two busy models would else swap with every request."""
    line = WaitingLine()
    for arrived_at in (5.0, 60.0):
        job = SimpleNamespace(model=SimpleNamespace(name="m"), arrived_at=arrived_at)
        line.add(cast(Any, job))
    if evicted_at is not None:
        line.evicted("m", now=evicted_at)

    (needed,) = line.needed_models((), need_bytes=lambda job: 7)

    assert (needed.name, needed.since, needed.size_bytes) == ("m", since, 7)
