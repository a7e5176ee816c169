"""The API for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import requests
from hypothesis import HealthCheck, Phase, given, settings
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.web.dashboards import Dashboard
from tests.support.system import System

EXAMPLES = 12
STREAMS = {"GET /api/v1/events", "GET /api/v1/tasks/{task}/live"}


def test_a_task_is_submitted_shown_explained_and_listed(
    dashboard: Dashboard, system: System
) -> None:
    system.start()

    report = dashboard.post("/api/v1/tasks", json={"description": "Explain.", "custom_id": "a"})
    again = dashboard.post("/api/v1/tasks", json={"description": "Explain.", "custom_id": "a"})

    assert (report.status_code, again.json()["duplicates"]) == (201, 1)
    task_id = report.json()["ids"][0]
    system.wait_status(task_id, "completed")
    shown = dashboard.get("/api/v1/tasks/a").json()
    assert shown["id"] == task_id
    assert shown["attempts"][0]["outcome"] == "completed"
    why = dashboard.get(f"/api/v1/tasks/{task_id}/why").json()
    assert {"assign", "route", "plan"} <= {one["stage"] for one in why["decisions"]}
    listed = dashboard.get("/api/v1/tasks?status=completed&limit=1&since=1h").json()
    assert [one["id"] for one in listed["tasks"]] == [task_id]


def test_what_is_wrong_is_named_and_the_rest_goes_through(dashboard: Dashboard) -> None:
    report = dashboard.post(
        "/api/v1/tasks",
        json={"tasks": [{"description": "Explain."}, {"descriptoin": "x"}, {"description": "a\0"}]},
    )

    assert report.status_code == 201
    assert report.json()["submitted"] == 1
    errors = {one["line"]: one["error"] for one in report.json()["rejected"]}
    assert "did you mean description" in errors[2]
    assert "NUL" in errors[3]
    alone = dashboard.post("/api/v1/tasks", json={"description": 5})
    assert alone.status_code == 422


def test_pages_of_tasks_follow_each_other(dashboard: Dashboard, system: System) -> None:
    wanted = {system.insert(f"T{n}", "Explain.") for n in range(5)}
    found: list[str] = []
    offset: int | None = 0

    while offset is not None:
        page = dashboard.get(f"/api/v1/tasks?limit=2&offset={offset}").json()
        found += [one["id"] for one in page["tasks"]]
        offset = page["next_offset"]

    assert sorted(found) == sorted(wanted)


def test_tasks_are_cancelled_and_retried_elsewhere(dashboard: Dashboard, system: System) -> None:
    task_id = system.insert("T", "Explain.")
    system.sql(
        "INSERT INTO kos_attempts (task_id, number, epoch, backend, model) "
        "VALUES (%s, 1, 1, 'mlx', 'm')", (task_id,)
    )  # fmt: skip

    cancelled = dashboard.post(f"/api/v1/tasks/{task_id}/cancel").json()
    retried = dashboard.post(f"/api/v1/tasks/{task_id}/retry", json={"elsewhere": True}).json()

    assert (cancelled["cancelled"], retried["retried"]) == ([task_id], [task_id])
    assert system.task(task_id)["status"] == "pending"
    assert system.task(task_id)["avoid"] == [["mlx", "m"]]
    assert dashboard.post("/api/v1/tasks/cancel", json={"ids": [task_id]}).json()["cancelled"]
    assert dashboard.post("/api/v1/tasks/ffffffff/cancel").status_code == 404


def test_a_backend_is_paused_and_resumed(dashboard: Dashboard) -> None:
    assert dashboard.post("/api/v1/backends/mlx/pause").json()["paused"]
    rows = {row["name"]: row for row in dashboard.get("/api/v1/backends").json()["backends"]}
    assert rows["mlx"]["limit"] == 0
    assert rows["ollama"]["healthy"]
    assert not dashboard.post("/api/v1/backends/mlx/resume").json()["paused"]
    assert dashboard.post("/api/v1/backends/none/pause").status_code == 404


def test_the_overview_shows_a_pause_at_once(dashboard: Dashboard) -> None:
    def paused() -> bool:
        lanes = dashboard.get("/api/v1/status").json()["lanes"]
        return bool(next(lane for lane in lanes if lane["backend"] == "mlx")["paused"])

    assert not paused()
    dashboard.post("/api/v1/backends/mlx/pause")
    assert paused()
    dashboard.post("/api/v1/backends/mlx/resume")
    assert not paused()


def test_events_tell_what_ends(dashboard: Dashboard, system: System) -> None:
    system.start()
    with requests.get(f"{dashboard.url}/api/v1/events", stream=True, timeout=30) as stream:
        lines = stream.iter_lines(chunk_size=1, decode_unicode=True)
        assert _next_event(lines, "status")["tasks"]["pending"] == 0

        report = dashboard.post("/api/v1/tasks", json={"description": "Explain."}).json()

        ended = _next_event(lines, "attempt")
    assert (ended["task"], ended["outcome"]) == (report["ids"][0], "completed")


def test_metrics_can_be_read_by_prometheus(dashboard: Dashboard, system: System) -> None:
    system.start()
    system.wait_status(system.insert("T", "Explain what a lease is."), "completed")

    def completed() -> float:
        families.update((f.name, f) for f in _families(dashboard))
        return sum(
            s.value for s in families["kos_tasks"].samples if s.labels["state"] == "completed"
        )

    families: dict[str, Metric] = {}
    system.wait(lambda: completed() == 1, what="one completed task in the metrics")
    assert {s.value for s in families["kos_up"].samples} == {1.0}
    limits = {s.labels["backend"]: s.value for s in families["kos_slots_limit"].samples}
    assert limits.keys() == {"ollama", "mlx"}
    assert sum(s.value for s in families["kos_completion_tokens_hour"].samples) > 0
    assert all(not math.isnan(s.value) for s in families["kos_queue_messages"].samples)


def _families(dashboard: Dashboard) -> Iterable[Metric]:
    return text_string_to_metric_families(dashboard.get("/metrics").text)


def test_no_input_that_the_description_allows_breaks_the_api(dashboard: Dashboard) -> None:
    import schemathesis  # Half a second, which each process that collects tests would take.

    document = dashboard.get("/api/v1/openapi.json").json()
    described: Any = schemathesis.openapi.from_dict(document)
    described.config.update(base_url=dashboard.url)
    broken: list[str] = []

    for found in described.get_all_operations():
        operation = found.ok()
        if operation.label in STREAMS:
            continue
        _try_out(operation, broken)

    assert broken == []


def _try_out(operation: Any, broken: list[str]) -> None:
    def attempt(case: Any) -> None:
        answer = case.call(timeout=30)
        if answer.status_code >= 500:
            broken.append(f"{operation.label}: {answer.status_code} {answer.text[:300]}")

    chosen = settings(
        max_examples=EXAMPLES,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    chosen(given(case=operation.as_strategy())(attempt))()


def _next_event(lines: Iterator[str], name: str) -> dict[str, Any]:
    for line in lines:
        if line == f"event: {name}":
            found: dict[str, Any] = json.loads(next(lines).removeprefix("data: "))
            return found
    raise AssertionError(f"no event {name}")
