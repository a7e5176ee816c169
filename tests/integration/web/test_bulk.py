"""Many tasks at once, posted as a browser without scripts posts it."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
import requests

from console.web.pages.bulk import PAGE_ROWS
from tests.integration.web.dashboards import Dashboard
from tests.support.system import System


def test_all_of_a_status_are_moved_however_many_they_are(
    dashboard: Dashboard, system: System
) -> None:
    _fill(system, "failed", PAGE_ROWS * 5 + 3)
    waiting = system.insert("Waits", "Explain.")

    retried = _post(dashboard, verb="retry-all", status="failed")
    assert "said=retried" in retried.headers["location"]
    assert system.counts() == {"pending": PAGE_ROWS * 5 + 4}
    cancelled = _post(dashboard, verb="cancel-all", status="pending")

    assert f"n={PAGE_ROWS * 5 + 4}" in cancelled.headers["location"]
    assert system.task(waiting)["status"] == "cancelled"


def test_running_tasks_are_asked_once_to_stop(dashboard: Dashboard, system: System) -> None:
    _fill(system, "in_progress", PAGE_ROWS + 1)

    answer = _post(dashboard, verb="cancel-all", status="in_progress")

    assert f"n={PAGE_ROWS + 1}" in answer.headers["location"]
    asked = system.sql("SELECT count(*) AS n FROM tasks WHERE cancel_requested_at IS NOT NULL")
    assert asked[0]["n"] == PAGE_ROWS + 1


@pytest.mark.parametrize(
    ("verb", "status"),
    [("cancel-all", "failed"), ("cancel-all", ""), ("retry-all", "pending"), ("retry-all", "x"),
     ("delete", "pending"), ("", "pending")],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_changes_nothing(
    dashboard: Dashboard, system: System, verb: str, status: str
) -> None:
    for state in ("pending", "queued", "in_progress", "failed"):
        system.insert("Stay", "Explain.", status=state)
    before = system.counts()

    answer = _post(dashboard, verb=verb, status=status)

    assert answer.status_code == 422
    assert (verb.removesuffix("-all") or "neither") in answer.text
    assert system.counts() == before


def test_the_ticked_tasks_alone_are_cancelled(dashboard: Dashboard, system: System) -> None:
    ticked, other = (system.insert(name, "Explain.") for name in ("This", "That"))

    _post(dashboard, [("id", ticked), ("id", "rubbish")], verb="cancel", all="1", status="pending")

    assert system.task(ticked)["status"] == "cancelled"
    assert system.task(other)["status"] == "pending"


def _fill(system: System, status: str, number: int) -> None:
    system.sql(
        "INSERT INTO tasks (title, description, status) "
        "SELECT 'T', 'Explain.', %s FROM generate_series(1, %s)",
        (status, number),
    )


def _post(
    dashboard: Dashboard, ticked: Iterable[tuple[str, str]] = (), **fields: str
) -> requests.Response:
    browser = requests.Session()
    text = browser.get(f"{dashboard.url}/submit", timeout=20).text
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', text)
    assert found
    form = [("csrf", found[1]), *ticked, *fields.items()]
    return browser.post(f"{dashboard.url}/tasks", data=form, timeout=60, allow_redirects=False)


def test_a_class_of_failures_is_a_list_with_its_remedy_whose_failed_tasks_are_retried(
    dashboard: Dashboard, system: System
) -> None:
    failed, other, running = (
        system.insert(name, "Explain.", status=status)
        for name, status in (("Echoed", "failed"), ("Other", "failed"), ("Again", "pending"))
    )
    for task_id, code in ((failed, "echo"), (other, "blank"), (running, "echo")):
        system.sql(
            "INSERT INTO kos_attempts (task_id, number, epoch, started_at, finished_at, outcome, "
            "error_code) VALUES (%s, 1, 1, now(), now(), 'failed', %s)",
            (task_id, code),
        )

    text = dashboard.get("/tasks?code=echo").text
    assert "The model repeats the request." in text
    assert "Retry these 1 failed tasks" in text
    assert [name in text for name in ("Echoed", "Again", "Other")] == [True, True, False]
    retried = _post(dashboard, verb="retry-all", status="failed", code="echo")

    assert "n=1" in retried.headers["location"]
    assert system.task(failed)["status"] == "pending"
    assert system.task(other)["status"] == "failed"


def test_the_list_counts_what_each_filter_would_show(dashboard: Dashboard, system: System) -> None:
    for status, priority in (("failed", "high"), ("failed", "low"), ("completed", "high")):
        system.insert("About cats", "Explain.", status=status, priority=priority)
    system.insert("About dogs", "Explain.", status="failed", priority="high")

    text = dashboard.get("/tasks?q=cats&status=failed").text

    for option in ("failed (2)", "completed (1)", "cancelled (0)", "high (1)", "low (1)"):
        assert option in text
    assert 'value="failed" selected' in text


def test_all_of_the_filter_on_the_screen_and_nothing_else_is_moved(
    dashboard: Dashboard, system: System
) -> None:
    shown = system.insert("About cats", "Explain.")
    hidden = system.insert("About dogs", "Explain.")
    text = requests.get(f"{dashboard.url}/tasks?status=pending&q=cats", timeout=20).text
    assert "Cancel all waiting (1)" in text
    assert "Cancel these waiting tasks? 1" in text

    cancelled = _post(dashboard, verb="cancel-all", status="pending", q="cats")

    assert "n=1" in cancelled.headers["location"]
    assert system.task(shown)["status"] == "cancelled"
    assert system.task(hidden)["status"] == "pending"
