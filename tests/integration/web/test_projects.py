"""Tags and projects through the HTTP API and on the pages."""

from __future__ import annotations

import re

import requests

from tests.integration.web.dashboards import Dashboard
from tests.support.system import System


def test_a_project_is_filtered_counted_and_gets_its_defaults(
    dashboard: Dashboard, system: System
) -> None:
    for project, tags in (("site", ["seo", "b c"]), ("shop", [])):
        task = {"description": "Write it", "project": project, "tags": tags}
        assert dashboard.post("/api/v1/tasks", json=task).status_code == 201

    [found] = dashboard.get("/api/v1/tasks?project=site&tag=b+c").json()["tasks"]
    assert (found["project"], found["tags"]) == ("site", ["seo", "b c"])
    text = dashboard.get("/tasks?project=site").text
    assert '<option value="site" selected>site (1)</option>' in text
    assert '<option value="b c">b c (1)</option>' in text

    browser = requests.Session()
    page = browser.get(f"{dashboard.url}/projects", timeout=20).text
    form = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
    assert form
    for values, status in (({"expert": "Boris", "backend": "mlx"}, 200), ({"expert": "No"}, 422)):
        sent = {"csrf": form[1], "name": "site", **values}
        answer = browser.post(f"{dashboard.url}/projects", data=sent, timeout=20)
        assert answer.status_code == status
    projects = {one["name"]: one for one in dashboard.get("/api/v1/projects").json()["projects"]}
    assert (projects["site"]["expert"], projects["site"]["backend"]) == ("Boris", "mlx")
    assert (projects["site"]["open"], projects["shop"]["open"]) == (1, 1)
