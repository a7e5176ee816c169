"""Recurring work on the schedule page."""

from __future__ import annotations

import re

import requests

from tests.integration.web.dashboards import Dashboard
from tests.support.system import System

ADD = """
INSERT INTO kos_schedules (name, cron, zone, line, keep, handled_until) VALUES
  ('plan <b>', '30 7 * * 1-5', 'Europe/Berlin', '{"description": "Plan {{date}}"}', 5, now()),
  ('by SQL', 'whenever', 'Europe/Berlin', '{"description": "a"}', 5, now())
"""


def test_a_schedule_is_paused_resumed_and_run_on_its_page(
    dashboard: Dashboard, system: System
) -> None:
    system.sql(ADD)
    browser = requests.Session()
    text = browser.get(f"{dashboard.url}/schedule", timeout=20).text
    form = re.search(r'name="csrf" value="([0-9a-f]+)"', text)
    assert form
    assert "plan &lt;b&gt;" in text
    assert "At 07:30 on Monday through Friday" in text
    assert "has not five fields" in text

    def press(verb: str, name: str = "plan <b>") -> requests.Response:
        return browser.post(
            f"{dashboard.url}/schedule/{verb}", data={"csrf": form[1], "name": name}, timeout=20
        )

    assert "Paused: due times pass" in press("pause").text
    assert system.sql("SELECT paused FROM kos_schedules WHERE cron LIKE '30%%'")[0]["paused"]
    assert press("resume").status_code == 200
    shown = press("run").text
    [task] = system.sql("SELECT id::text, description FROM tasks")
    assert re.fullmatch(r"Plan \d{4}-\d\d-\d\d", task["description"])
    assert f"/tasks/{task['id']}" in shown
    assert press("run", "nobody's").status_code == 404
    assert "Removed." in press("remove").text
    assert system.sql("SELECT 1 FROM kos_schedules WHERE cron LIKE '30%%'") == []

    def add(**fields: str) -> requests.Response:
        return browser.post(
            f"{dashboard.url}/schedule", data={"csrf": form[1], "name": "n", **fields}, timeout=20
        )

    assert "every weekday at 7:30" in add(every="now and then", text="x").text
    assert add(every="hourly", text="x", zone="Nowhere/None").status_code == 422
    assert add(every="every 2 hours", text="Plan {{date}}", zone="Europe/Berlin").status_code == 200
    assert add(every="30 7 * * 1-5", text="y", name="m").status_code == 200
    crons = system.sql("SELECT cron FROM kos_schedules WHERE name IN ('n', 'm') ORDER BY name")
    assert [row["cron"] for row in crons] == ["30 7 * * 1-5", "0 */2 * * *"]
    edited = browser.get(f"{dashboard.url}/schedule?edit=m", timeout=20).text
    assert 'value="30 7 * * 1-5"' in edited
    assert add(name="m", edit="m", every="0 9 * * 1", text="z", zone="UTC").status_code == 200
    assert add(name="m", edit="m", every="now and then", text="z").status_code == 422
    assert "no schedule" in add(name="x", edit="nobody", every="hourly", text="z").text
    assert browser.get(f"{dashboard.url}/schedule?edit=nobody", timeout=20).status_code == 404
    [row] = system.sql("SELECT cron, line FROM kos_schedules WHERE name = 'm'")
    assert (row["cron"], row["line"]["description"]) == ("0 9 * * 1", "z")

    kept = {"every": "0 9 * * 1", "catch_up": "1", "keep": "7"}
    assert add(name="m", edit="m", text="z", **kept).status_code == 200
    [row] = system.sql("SELECT catch_up, keep FROM kos_schedules WHERE name = 'm'")
    assert (row["catch_up"], row["keep"]) == (True, 7)
    edited = browser.get(f"{dashboard.url}/schedule?edit=m", timeout=20).text
    assert 'value="1" selected' in edited
    assert re.search(r'name="keep"[^>]* value="7"', edited)
    assert add(name="m", edit="m", text="z", **{**kept, "keep": "0"}).status_code == 422
    assert add(name="m", edit="m", text="", **kept).status_code == 422
    assert add(name="m", edit="m", text="z", every="0 9 * * 1").status_code == 200
    [row] = system.sql("SELECT catch_up, keep FROM kos_schedules WHERE name = 'm'")
    assert (row["catch_up"], row["keep"]) == (False, 7)
    russian = browser.get(
        f"{dashboard.url}/schedule", headers={"Accept-Language": "ru"}, timeout=20
    ).text
    assert "Повторяющаяся работа" in russian
    assert "каждый понедельник в 09:00" in russian
    assert "Запустить сейчас" in russian
