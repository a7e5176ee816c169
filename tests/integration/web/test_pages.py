"""Every page over real services."""

from __future__ import annotations

import re

import pytest
import requests

from models.database import session
from models.expert import Expert
from tests.integration.web.dashboards import Dashboard
from tests.support.system import System

PAGES = (
    "/", "/tasks", "/submit", "/backends", "/queues", "/queues/llm-ollama", "/experts",
    "/schedule", "/health",
)  # fmt: skip


@pytest.mark.parametrize("language", ["en", "ru"])
def test_every_page_shows_on_an_empty_system(dashboard: Dashboard, language: str) -> None:
    for path in PAGES:
        answer = dashboard.get(path, headers={"Accept-Language": language})

        assert answer.status_code == 200, (path, answer.text[-2000:], dashboard.log.read_text())
        assert f'<html lang="{language}"' in answer.text


def test_the_first_screen_begins_with_the_verdict_and_has_it_as_its_title(
    dashboard: Dashboard, system: System
) -> None:
    system.insert("wait", "for somebody")
    system.wait(lambda: dashboard.get("/api/v1/status").json()["tasks"]["pending"] == 1)

    text = dashboard.get("/api/v1/status").json()["verdict"]["text"]
    page = dashboard.get("/").text

    assert text.startswith("Nothing runs: 1 wait. 1 problem: the health checker")
    assert f"<title>{text}" in page
    assert page.index('id="verdict"') < page.index('id="part-lanes"')
    russian = dashboard.get("/", headers={"Accept-Language": "ru"}).text
    assert "<title>Ничего не выполняется: ждут 1." in russian


def test_a_submitted_task_runs_and_its_page_tells_everything(
    dashboard: Dashboard, system: System
) -> None:
    system.start()
    browser, form = _page(dashboard, "/submit")

    answer = browser.post(
        f"{dashboard.url}/submit",
        data={"csrf": form, "description": "Summarise what a lease is."},
        timeout=20,
    )

    assert answer.status_code == 200, answer.text
    task_id = answer.url.split("/tasks/")[1].split("?")[0]
    system.wait_status(task_id, "completed")
    shown = browser.get(f"{dashboard.url}/tasks/{task_id}", timeout=20).text
    for word in ("completed", "Attempts", "Why", "assigned to", "[simulated"):
        assert word in shown
    for path in PAGES:
        assert browser.get(f"{dashboard.url}{path}", timeout=20).status_code == 200


def test_an_ended_task_runs_again_and_both_pages_link_to_each_other(
    dashboard: Dashboard, system: System
) -> None:
    first = system.insert("A lease", "Explain a lease.", status="completed")
    browser = requests.Session()
    text = browser.get(f"{dashboard.url}/submit?again={first}", timeout=20).text
    token = re.search(r'name="csrf" value="([0-9a-f]+)"', text)
    assert token
    assert "Explain a lease.</textarea>" in text

    same = browser.post(f"{dashboard.url}/tasks/{first}/again", data={"csrf": token[1]}, timeout=20)
    form = {"csrf": token[1], "again": first, "description": "Explain it shorter."}
    edited = browser.post(f"{dashboard.url}/submit", data=form, timeout=20)

    for page, request in ((same, "Explain a lease."), (edited, "Explain it shorter.")):
        assert page.ok
        assert f'href="/tasks/{first}"' in page.text
        assert request in page.text
        assert page.url.split("/")[-1].split("?")[0] in dashboard.get(f"/tasks/{first}").text


def test_an_expert_has_a_page_where_an_older_prompt_comes_back(
    dashboard: Dashboard, system: System
) -> None:
    with session():
        Expert.add({"name": "Vera <b>", "system_prompt": "You <i>test</i>."}, author="anna")
        vera = str(Expert.get(Expert.name == "Vera <b>").id)
        Expert.change(vera, {"system_prompt": "You sleep."}, author="boris")
    assert f'href="/experts/{vera}"' in dashboard.get("/experts").text
    browser, form = _page(dashboard, f"/experts/{vera}")

    answer = browser.post(
        f"{dashboard.url}/experts/{vera}/restore", data={"csrf": form, "version": "1"}, timeout=20
    )

    assert answer.status_code == 200, answer.text
    assert "You &lt;i&gt;test&lt;/i&gt;." in answer.text
    assert "boris" in answer.text
    assert "<i>test" not in answer.text
    with session():
        found = Expert.get(Expert.id == vera)
        assert (found.system_prompt, found.is_active) == ("You <i>test</i>.", True)
    browser.post(f"{dashboard.url}/experts/{vera}/deactivate", data={"csrf": form}, timeout=20)
    with session():
        assert Expert.get(Expert.id == vera).is_active is False


def test_an_unknown_page_and_task_are_answered_kindly(dashboard: Dashboard) -> None:
    for path in (
        "/nowhere", "/tasks/ffffffff", "/queues/none", "/tasks/%00", "/experts/Nobody",
        "/experts/%00", "/experts/00000000-0000-0000-0000-000000000000",
    ):  # fmt: skip
        assert dashboard.get(path).status_code == 404


def _page(dashboard: Dashboard, path: str) -> tuple[requests.Session, str]:
    browser = requests.Session()
    text = browser.get(f"{dashboard.url}{path}", timeout=20).text
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', text)
    assert found
    return browser, found[1]
