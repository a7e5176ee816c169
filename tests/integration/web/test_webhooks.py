"""Webhooks on their page, and from a task that ends to a receiver through the real programs."""

from __future__ import annotations

import json
import re

import requests

from tests.integration.web.dashboards import Dashboard, running_dashboard
from tests.support.receivers import receiver, saying
from tests.support.system import System


def test_a_webhook_is_added_on_its_page_tested_called_and_removed(system: System) -> None:
    system.environ["KOS_WEBHOOK_NETWORKS"] = "127.0.0.1/32"
    browser = requests.Session()
    with (
        running_dashboard(system.environ, system.directory) as dashboard,
        receiver(saying("200 OK")) as good,
    ):
        text = browser.get(f"{dashboard.url}/webhooks", timeout=20).text
        form = re.search(r'name="csrf" value="([0-9a-f]+)"', text)
        assert form

        def press(path: str, **fields: str) -> requests.Response:
            return browser.post(
                f"{dashboard.url}{path}", data={"csrf": form[1], **fields}, timeout=20
            )

        added = press("/webhooks", name="ci <b>", url=good.url, event="task.failed").text
        assert "whsec_" in added
        assert "ci &lt;b&gt;" in added
        assert "whsec_" not in browser.get(f"{dashboard.url}/webhooks", timeout=20).text
        assert "Delivered: the receiver took" in press("/webhooks/test", name="ci <b>").text

        system.start("control", "listener")
        task = system.insert("Broken", "never runs")
        system.sql("UPDATE tasks SET status = 'failed' WHERE id = %s", (task,))
        system.wait(lambda: len(good.requests) == 2, what="the event has arrived")

        assert press("/webhooks/remove", name="ci <b>").status_code == 200
        assert press("/webhooks/remove", name="ci <b>").status_code == 404
    kinds = [json.loads(body)["type"] for _, body in good.requests]
    assert kinds == ["webhook.test", "task.failed"]
    assert system.sql("SELECT 1 FROM kos_webhooks") == []


def test_a_private_address_and_a_strange_event_are_refused_with_their_reason(
    dashboard: Dashboard,
) -> None:
    browser = requests.Session()
    text = browser.get(f"{dashboard.url}/webhooks", timeout=20).text
    form = re.search(r'name="csrf" value="([0-9a-f]+)"', text)
    assert form
    for fields, message in (
        ({"url": "http://127.0.0.1/"}, "is the private address 127.0.0.1"),
        ({"url": "ftp://example.com/"}, "is no URL"),
        ({"url": "http://127.0.0.1/", "event": "task.failde"}, "did you mean task.failed?"),
        ({"url": "http://127.0.0.1/", "name": ""}, "name: write 1 to"),
    ):
        refused = browser.post(
            f"{dashboard.url}/webhooks",
            data={"csrf": form[1], "name": "n", **fields},
            timeout=20,
        )
        assert refused.status_code == 422
        assert message in refused.text
