from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.simulation.workload import VirtualBackend, WhatIf, Workload, WorkloadError, changed
from jobs.simulation.workload_json import read_workload, workload_from_json, workload_to_json
from jobs.simulation.workloads import WORKLOADS, named
from llm.types import BackendKind
from models.states import Priority

DOCUMENT: dict[str, Any] = {
    "backends": [{"name": "mlx", "slots": 4, "resident_models": 1}],
    "models": [
        {
            "backend": "mlx",
            "model": "org/qwq:32b",
            "load_seconds": 9.0,
            "heavy": True,
            "mean_service_seconds": 50.0,
        }
    ],
    "tasks": [
        {
            "id": "t1",
            "arrival_seconds": 0.0,
            "priority": "urgent",
            "service_seconds": {"mlx/org/qwq:32b": 48.1},
        }
    ],
}


def test_the_contract_is_read() -> None:
    workload = workload_from_json(DOCUMENT)

    assert workload.backends == (VirtualBackend("mlx", 4, 1, BackendKind.MLX),)
    assert workload.models[0].heavy
    assert workload.tasks[0].service_seconds == {("mlx", "org/qwq:32b"): 48.1}
    assert workload.tasks[0].priority is Priority.URGENT


def test_a_workload_survives_writing_and_reading(tmp_path: Path) -> None:
    workload = named("dying-server")
    path = tmp_path / "dying-server.json"

    path.write_text(json.dumps(workload_to_json(workload)), encoding="utf-8")

    assert read_workload(path) == workload


def test_requests_of_people_survive_writing_and_reading() -> None:
    document = {
        **DOCUMENT,
        "interactive": [
            {"id": "r", "arrival_seconds": 3, "service_seconds": {"mlx/org/qwq:32b": 2}}
        ],
        "interactive_patience_seconds": 5,
    }

    workload = workload_from_json(document)

    assert workload.interactive[0].service_seconds == {("mlx", "org/qwq:32b"): 2.0}
    assert workload.interactive_patience_seconds == 5.0
    assert workload_from_json(workload_to_json(workload), name="file") == workload
    twice = {**document, "interactive": [{**document["interactive"][0], "id": "t1"}]}
    with pytest.raises(WorkloadError, match="a name stands twice"):
        workload_from_json(twice)


def _drop(*path: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        del document[path[-1]]

    return change


def _put(value: object, *path: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_drop("backends"), "backends"),
        (_put([], "models"), "models"),
        (_put(0, "backends", 0, "slots"), "backends[0].slots"),
        (_put("four", "backends", 0, "slots"), "backends[0].slots"),
        (_put(-1, "models", 0, "load_seconds"), "models[0].load_seconds"),
        (_put(0, "models", 0, "mean_service_seconds"), "models[0].mean_service_seconds"),
        (_put("mars", "models", 0, "backend"), "models[0].backend"),
        (_put({}, "tasks", 0, "service_seconds"), "tasks[0].service_seconds"),
        (_put({"mlx/other": 1.0}, "tasks", 0, "service_seconds"), "mlx/other"),
        (_put("soon", "tasks", 0, "priority"), "tasks[0].priority"),
        (_put(float("nan"), "tasks", 0, "arrival_seconds"), "tasks[0].arrival_seconds"),
        (_put("text", "tasks"), "tasks"),
        (_put(3, "tasks", 0), "tasks[0]"),
    ],
)
def test_a_wrong_field_is_named(change: Callable[[Any], None], said: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    change(document)

    with pytest.raises(WorkloadError) as error:
        workload_from_json(document)

    assert said in str(error.value)


def test_an_id_that_stands_twice_is_refused() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["tasks"] *= 2

    with pytest.raises(WorkloadError, match="twice"):
        workload_from_json(document)


def test_a_file_that_is_not_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text("{", encoding="utf-8")

    with pytest.raises(WorkloadError, match="not JSON"):
        read_workload(path)


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_a_named_workload_is_the_same_every_time(name: str) -> None:
    assert named(name) == named(name)


def test_mixed_is_what_it_says() -> None:
    workload = named("mixed")

    counts: dict[str, int] = {}
    for task in workload.tasks:
        counts[task.category.value] = counts.get(task.category.value, 0) + 1
    assert counts == {"fast": 400, "default": 300, "coding": 200, "reasoning": 100}
    assert [(b.name, b.slots, b.resident_models) for b in workload.backends] == [
        ("mlx", 4, 1),
        ("ollama", 4, 1),
    ]
    assert [m.mean_service_seconds for m in workload.models] == [2, 4, 24, 50, 8, 25, 25, 55]
    loads = {b: [m.load_seconds for m in workload.models if m.backend == b] for b in ("mlx",)}
    assert (min(loads["mlx"]), max(loads["mlx"])) == (1, 9)
    assert workload.offline


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(WorkloadError, match="mixed"):
        named("mxied")


def test_what_if_changes_slots_and_residents_and_adds_a_server() -> None:
    workload = named("one-kind")

    tried = changed(
        workload,
        WhatIf(slots={"mlx": 8}, resident_models={"ollama": 2}, copies={"ollama-b": "ollama"}),
    )

    assert [(b.name, b.slots, b.resident_models) for b in tried.backends] == [
        ("mlx", 8, 1),
        ("ollama", 4, 2),
        ("ollama-b", 4, 1),
    ]
    place = ("ollama-b", "qwen2.5-coder:14b")
    assert all(place in task.service_seconds for task in tried.tasks)


@pytest.mark.parametrize(
    "what_if",
    [WhatIf(slots={"mars": 1}), WhatIf(copies={"x": "mars"}), WhatIf(copies={"mlx": "mlx"})],
)
def test_what_if_names_what_is_not_there(what_if: WhatIf) -> None:
    workload: Workload = named("one-kind")

    with pytest.raises(WorkloadError, match=r"mars|mlx"):
        changed(workload, what_if)
