"""What a planner gets of rows, and of those outside its window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from jobs.planning.snapshots import fits_two_heavy, further_tasks, snapshot, task_view
from jobs.policy.types import Snapshot, TaskView
from jobs.settings.load import Settings
from llm.types import (
    BackendKind,
    BackendSpec,
    Category,
    ModelInfo,
    Scan,
    ScannedModel,
    ServerScan,
)
from models.states import Priority
from models.task_rows import InFlightTask, PendingTask

NOW = datetime(2026, 3, 1, tzinfo=UTC)
UNSCANNED = Scan(NOW, ())


def views(
    count: int,
    category: Category,
    *,
    model: str | None = None,
    priority: Priority = Priority.MEDIUM,
    complexity: float = 0.5,
) -> list[TaskView]:
    return [
        TaskView(f"{category}-{model}-{priority}-{complexity}-{n}", NOW, priority=priority,
                 category=category, required_model=model, complexity=complexity)
        for n in range(count)
    ]  # fmt: skip


def test_nothing_is_beyond_a_window_that_holds_everything() -> None:
    assert further_tasks(views(5, Category.CODING), {}) == ()


def test_the_rest_of_a_category_is_shared_as_its_window_is() -> None:
    tasks = [*views(30, Category.CODING), *views(10, Category.CODING, model="big")]

    found = further_tasks(tasks, {"coding": 440, "fast": 7})

    assert [(more.like, more.count) for more in found] == [(tasks[0].id, 300), (tasks[30].id, 100)]


def test_slightly_different_complexities_are_one_kind() -> None:
    tasks = [one for n in range(40) for one in views(1, Category.FAST, complexity=n / 100)]

    found = further_tasks(tasks, {"fast": 100})

    assert [more.count for more in found] == [60]


class _Ranked(tuple[str, ...]):
    """Names that nobody may search: a search for each of twenty thousand takes minutes."""

    def index(self, *_: object) -> int:
        raise AssertionError("searched")

    def __contains__(self, _: object) -> bool:
        raise AssertionError("searched")


def test_places_in_a_ranking_are_found_without_a_search() -> None:
    ranking = {Category.FAST: _Ranked(("a", "b")), Category.CODING: _Ranked(("b",))}
    server = ServerScan("ollama", BackendKind.OLLAMA, models=(), ranking=ranking)

    found = seen(scan=Scan(NOW, (server,)), name="b")

    assert found.models[0].ranks == {Category.FAST: 1, Category.CODING: 0}


def test_urgent_tasks_stand_for_no_others() -> None:
    tasks = [*views(4, Category.FAST, priority=Priority.URGENT), *views(4, Category.FAST)]

    found = further_tasks(tasks, {"fast": 16})

    assert [(more.like, more.count) for more in found] == [(tasks[4].id, 4)]


def prefix(expert: str, metadata: object) -> tuple[str, ...]:
    row = PendingTask("t", "low", NOW, "fast", 0.5, metadata, 0, [], expert, 10, 0, [])
    return task_view(row, NOW).prefix


def test_lines_with_one_system_message_begin_alike_whoever_has_them() -> None:
    """Their own message replaces the persona, so the expert is no part of the prompt."""
    line = {"system": "Answer in one word."}

    assert prefix("ada", line) == prefix("bob", line)
    assert prefix("ada", line) != prefix("ada", {"system": "Answer at length."})
    assert prefix("ada", line) != prefix("ada", {})


@pytest.mark.parametrize("metadata", [None, {}, {"system": ""}, {"system": 7}, "text"])
def test_without_a_message_of_its_own_a_prompt_begins_with_persona_and_files(
    metadata: object,
) -> None:
    assert prefix("ada", metadata) == ("ada",) != prefix("bob", metadata)


def test_files_follow_the_persona() -> None:
    assert prefix("ada", {"file_paths": ["a.py", "b.py"]}) == ("ada", "a.py", "b.py")


def test_a_broken_character_in_a_message_stops_no_plan() -> None:
    assert prefix("ada", {"system": "\ud800"}) != prefix("ada", {})


@pytest.mark.parametrize(
    ("status", "seconds_ago", "expected"),
    [
        ("in_progress", 0, 40.0),
        ("in_progress", 30, 10.0),
        ("in_progress", 39, 4.0),
        ("in_progress", 100, 60.0),
        ("queued", 30, 40.0),
    ],
    ids=["new", "on its way", "nearly done", "late", "not begun"],
)
def test_how_long_a_task_is_expected_to_go_on(
    status: str, seconds_ago: float, expected: float
) -> None:
    row = InFlightTask("t", status, "ollama", "m", NOW - timedelta(seconds=seconds_ago))

    (running,) = seen(row).running

    assert running.expected_remaining_seconds == pytest.approx(expected)


def seen(*in_flight: InFlightTask, scan: Scan = UNSCANNED, name: str = "m") -> Snapshot:
    """A server whose only model takes 40 seconds for a task."""
    estimate = SimpleNamespace(mean=40.0, variation=0.5)
    learned: Any = SimpleNamespace(
        load_seconds=estimate, service_seconds=estimate, mean_service_by_category={}
    )
    return snapshot(
        Settings(backends=()),
        cast(Any, SimpleNamespace(figures=lambda backend, model: learned)),
        now=NOW,
        scan=scan,
        models=[("ollama", 0, ScannedModel(ModelInfo(name)))],
        backends=(),
        in_flight=in_flight,
    )


def test_more_in_the_window_than_are_counted_leave_nothing_outside() -> None:
    assert further_tasks(views(30, Category.CODING), {"coding": 10}) == ()


@pytest.mark.parametrize(
    ("shares", "pairing", "fits"),
    [
        ((0.4, 0.4), True, True),
        ((0.5, 0.4), True, False),
        ((0.5, 0.4), False, True),
        ((0.95,), True, True),
        ((0.95, 0.0), True, False),
    ],
)
def test_two_heavy_models_run_at_once_only_where_memory_holds_both(
    shares: tuple[float, ...], pairing: bool, fits: bool
) -> None:
    total = psutil.virtual_memory().total
    specs = [
        BackendSpec(f"s{n}", BackendKind.OLLAMA, "http://127.0.0.1:1") for n in range(len(shares))
    ]
    servers = [
        ServerScan(
            spec.name,
            spec.kind,
            (ScannedModel(ModelInfo("big", size_bytes=int(share * total)), heavy=True),),
        )
        for spec, share in zip(specs, shares, strict=True)
    ]
    settings = Settings(backends=tuple(specs), heavy_light_pairing=pairing)

    assert fits_two_heavy(settings, Scan(NOW, tuple(servers))) == fits
