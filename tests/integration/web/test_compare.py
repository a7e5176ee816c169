"""Runs of one task beside each other, thumbs, and which answer is kept."""

from __future__ import annotations

import re
from typing import Any

import requests

from tests.integration.web.dashboards import Dashboard
from tests.support.system import System


def ended(system: System, title: str, **columns: Any) -> str:
    return system.insert(
        title, "Explain it", **{"status": "completed", "result": f"# answer of {title}", **columns}
    )


def forms(dashboard: Dashboard) -> tuple[requests.Session, str]:
    browser = requests.Session()
    text = browser.get(f"{dashboard.url}/submit", timeout=20).text
    form = re.search(r'name="csrf" value="([0-9a-f]+)"', text)
    assert form
    return browser, form[1]


def test_a_task_is_compared_and_the_better_answer_is_kept(
    dashboard: Dashboard, system: System
) -> None:
    first = ended(system, "first", model="m1")
    run = ended(system, "second", model="m2", metadata={"rerun_of": first})
    stranger = ended(system, "stranger")
    browser, token = forms(dashboard)

    def press(path: str, **fields: str) -> requests.Response:
        return browser.post(f"{dashboard.url}{path}", data={"csrf": token, **fields}, timeout=20)

    page = browser.get(f"{dashboard.url}/tasks/{first}/compare", timeout=20).text
    assert "answer of first</h" in page
    assert "answer of second</h" in page

    assert press(f"/tasks/{first}/choose", run=run).status_code == 200
    kept = dashboard.get(f"/api/v1/tasks/{first}").json()
    assert (kept["result"], kept["metadata"]["result_of"]) == ("# answer of second", run)
    assert press(f"/tasks/{first}/choose", run=stranger).status_code == 422

    assert press(f"/tasks/{first}/compare").status_code == 422
    refused = press(f"/tasks/{first}/compare", **{"expert-1": "Boris", "expert-2": "Nobody"})
    assert "Nobody" in refused.text
    assert system.counts() == {"completed": 3}
    shown = press(f"/tasks/{first}/compare", **{"expert-1": "Boris", "expert-2": "Anna"})
    assert shown.status_code == 200
    assert system.counts() == {"completed": 3, "pending": 2}
    assert shown.text.count('class="state pending"') == 2


def test_a_thumb_is_given_shown_counted_exported_and_taken_back(
    dashboard: Dashboard, system: System
) -> None:
    task = ended(system, "first", model="m1")
    open_task = system.insert("open", "not yet")
    address = f"/api/v1/tasks/{task}/feedback"
    browser, token = forms(dashboard)

    sent = {"thumb": "down", "note": "missed <b>"}
    assert dashboard.post(address, json=sent).json() == sent
    assert "missed &lt;b&gt;" in dashboard.get(f"/tasks/{task}").text
    [listed] = dashboard.get("/api/v1/tasks?status=completed").json()["tasks"]
    assert (listed["thumb"], listed["thumb_note"]) == ("down", "missed <b>")
    assert "m1" in dashboard.get("/experts").text
    for path, body in (
        (address, {"thumb": "sideways"}),
        (address, {"thumb": 1}),
        (address, {"thumb": "up", "note": "x" * 2001}),
        (f"/api/v1/tasks/{open_task}/feedback", {"thumb": "up"}),
    ):
        assert dashboard.post(path, json=body).status_code == 422
    browser.post(
        f"{dashboard.url}/tasks/{task}/thumb",
        data={"csrf": token, "thumb": "up", "note": "", "back": "//evil.example"},
        timeout=20,
    )
    assert dashboard.get(f"/api/v1/tasks/{task}").json()["thumb"] == "up"
    dashboard.post(address, json={"thumb": None})
    assert dashboard.get(f"/api/v1/tasks/{task}").json()["thumb"] is None


def test_a_task_runs_again_through_the_api(dashboard: Dashboard, system: System) -> None:
    first, open_task = ended(system, "first"), system.insert("open", "not yet")

    again = dashboard.post(f"/api/v1/tasks/{first}/rerun", json={"expert": "Boris"})
    assert again.status_code == 201
    assert again.json()["rerun_of"] == first
    found = dashboard.get(f"/api/v1/tasks/{again.json()['id']}").json()
    assert (found["expert"], found["metadata"]["rerun_of"]) == ("Boris", first)
    assert dashboard.post(f"/api/v1/tasks/{first}/rerun").status_code == 201
    for task, body, status in (
        (open_task, {}, 409),
        (first, {"expert": "Nobody"}, 422),
        (first, {"title": "x"}, 422),
        (first, {"model": 3}, 422),
        ("ffffffff", {}, 404),
    ):
        answer = dashboard.post(f"/api/v1/tasks/{task}/rerun", json=body)
        assert answer.status_code == status, answer.text
    kept = dashboard.post(f"/api/v1/tasks/{first}/accept", json={"run": open_task})
    assert kept.status_code == 422
