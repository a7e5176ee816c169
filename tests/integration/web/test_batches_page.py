"""Batches on their pages: upload, progress, errors, results, cancel."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

import pytest
import requests

from tests.integration.web.dashboards import Dashboard
from tests.support.system import System

Upload = Callable[..., requests.Response]


def line(number: int, **changes: object) -> str:
    body = {"model": "auto", "messages": [{"role": "user", "content": f"Name {number} things."}]}
    whole = {"custom_id": f"n{number}", "method": "POST", "url": "/v1/chat/completions"}
    return json.dumps({**whole, "body": body, **changes})


@pytest.fixture
def browser() -> requests.Session:
    return requests.Session()


@pytest.fixture
def upload(dashboard: Dashboard, browser: requests.Session) -> Upload:
    text = browser.get(f"{dashboard.url}/batches", timeout=20).text
    form = re.search(r'name="csrf" value="([0-9a-f]+)"', text)
    assert form

    def send(content: str, path: str = "/batches", **fields: str) -> requests.Response:
        files = {"file": ("in <b>.jsonl", content)} if path == "/batches" else None
        values = {"csrf": form[1], **fields}
        return browser.post(f"{dashboard.url}{path}", data=values, files=files, timeout=20)

    return send


def test_a_batch_is_uploaded_runs_and_is_downloaded(
    upload: Upload, browser: requests.Session, dashboard: Dashboard, system: System
) -> None:
    system.start()
    bad = line(2, body={"model": "no-such-model", "messages": []})

    shown = upload("\n".join([line(1), bad]), name="night <run>")

    assert shown.status_code == 200
    assert "night &lt;run&gt;" in shown.text
    system.wait(
        lambda: system.sql("SELECT status FROM kos_batches")[0]["status"] == "completed",
        deadline_seconds=120,
        what="the batch is completed",
    )
    page = browser.get(shown.url, timeout=20).text
    assert "1 failed" in page
    other = system.insert("Of no batch", "d", status="completed")
    link = re.search(r"/tasks\?batch=\w+", page)
    assert link
    tasks = browser.get(f"{dashboard.url}{link[0]}", timeout=20).text
    assert tasks.count("<tr data-id=") == 1
    assert other not in tasks
    assert "n2" in page
    address = shown.url.partition("?")[0]
    result = browser.get(f"{address}/results", timeout=20)
    assert 'attachment; filename="batch_' in result.headers["content-disposition"]
    assert json.loads(result.text)["custom_id"] == "n1"
    assert json.loads(browser.get(f"{address}/errors", timeout=20).text)["custom_id"] == "n2"
    assert browser.get(f"{address}/input", timeout=20).text.endswith(bad)
    assert browser.get(f"{address}/secrets", timeout=20).status_code == 404
    assert upload("", f"/batches/{address.rpartition('/')[2]}/cancel").status_code == 200
    assert dashboard.get("/batches/batch_none").status_code == 404


def test_a_file_is_refused_as_the_api_refuses_it(upload: Upload, system: System) -> None:
    assert upload("").status_code == 422
    shown = upload(f"{line(1)}\n{line(1)}")
    system.wait(
        lambda: system.sql("SELECT status FROM kos_batches")[0]["status"] == "failed",
        what="the batch is refused",
    )
    again = requests.get(shown.url, timeout=20).text
    assert "line 2: &#39;n1&#39; came before" in again


def test_a_batch_is_cancelled_on_its_page(upload: Upload, system: System) -> None:
    shown = upload("\n".join(line(number) for number in range(5)))
    batch = shown.url.partition("?")[0].rpartition("/")[2]

    assert "is being cancelled" in upload("", f"/batches/{batch}/cancel").text
    system.wait(
        lambda: system.sql("SELECT status FROM kos_batches")[0]["status"] == "cancelled",
        what="the batch is cancelled",
    )


def test_a_batch_says_when_its_last_task_is_done(
    upload: Upload, browser: requests.Session, dashboard: Dashboard, system: System
) -> None:
    shown = upload("\n".join(line(n) for n in (1, 2)))
    batch_url = f"{dashboard.url}/v1{shown.url.partition(dashboard.url)[2].partition('?')[0]}"
    system.wait(
        lambda: system.sql("SELECT count(task_id) AS n FROM kos_batch_lines")[0]["n"] == 2,
        what="both lines are tasks",
    )
    assert browser.get(batch_url, timeout=20).json()["eta"] is None

    system.sql(
        "INSERT INTO kos_blocks (plan_id, backend, model, lane_order, task_ids, policy, reason, "
        "task_seconds) SELECT gen_random_uuid(), 'mlx', 'qwen', 0, array_agg(task_id), "
        "'fifo', 'r', 600.0 FROM kos_batch_lines RETURNING id"
    )

    eta = browser.get(batch_url, timeout=20).json()["eta"]
    assert time.time() < eta["from"] < eta["to"]
    assert "done in" in browser.get(shown.url, timeout=20).text
