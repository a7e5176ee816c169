"""The Python client on a real dashboard and real workers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from console.home import free_port
from kos_client import (
    BadInput,
    Client,
    NotAllowed,
    NotFound,
    TaskFailed,
    TimedOut,
    Unreachable,
    batch_line,
)
from tests.integration.web.dashboards import Dashboard, running_dashboard
from tests.support.system import System

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "python-client.md"
PATIENCE_SECONDS = 90.0


def test_every_example_of_the_docs_runs_in_their_order(
    dashboard: Dashboard, system: System
) -> None:
    system.start()
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)

    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=system.directory,
        env={**os.environ, "KOS_DASHBOARD_URL": dashboard.url, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert done.returncode == 0, done.stderr + system.tell()
    assert len(blocks) >= 7
    assert "5 new, 0 known, 0 refused" in done.stdout
    assert "Anna" in done.stdout
    assert "q-2" in done.stdout


def test_a_task_is_submitted_waited_for_and_read(client: Client, system: System) -> None:
    system.start()

    task = client.submit("Explain what a lease is.", priority="high", custom_id="lease")
    done = client.wait(task, PATIENCE_SECONDS)

    assert not task.has_ended
    assert (done.id, done.status, done.priority) == (task.id, "completed", "high")
    assert done.result
    assert done.completed_at is not None
    assert done.attempts[-1].outcome == "completed"
    assert client.result("lease") == done.result
    assert client.submit("Something else.", custom_id="lease").id == task.id
    assert client.submit_many([{"description": "x", "custom_id": "lease"}]).known_ids == (task.id,)


def test_the_streamed_pieces_together_are_the_answer(
    dashboard: Dashboard, client: Client, system: System
) -> None:
    task = client.submit("Explain backpressure at length.")
    system.start()

    text = "".join(client.stream(task, PATIENCE_SECONDS))

    answer = client.task(task).result
    assert answer
    assert text.strip().endswith(answer.strip())


def test_map_keeps_the_order_and_as_completed_gives_each_once(
    client: Client, system: System
) -> None:
    system.start()
    prompts = [f"Explain the number {number}." for number in range(30)]

    tasks = client.map(prompts, progress=True, timeout_seconds=PATIENCE_SECONDS)

    assert [client.task(task).description for task in tasks[:3]] == prompts[:3]
    assert {task.status for task in tasks} == {"completed"}
    again = list(client.as_completed(tasks, PATIENCE_SECONDS))
    assert sorted(task.id for task in again) == sorted(task.id for task in tasks)


def test_a_custom_id_may_be_a_path(client: Client) -> None:
    task = client.submit("Summarise it.", custom_id="docs/a page.md")

    assert client.submit("Summarise it.", custom_id="docs/a page.md") == task


def test_lines_that_are_refused_are_named_and_the_rest_goes_in(
    client: Client, system: System
) -> None:
    lines: list[str | dict[str, str]] = [
        *({"description": f"Task {n}."} for n in range(600)),
        {"description": ""},
        "Last.",
    ]

    report = client.submit_many(lines)

    assert report.submitted == len(report.ids) == 601
    assert [one.line for one in report.rejected] == [601]
    assert len({task.id for task in client.tasks(status="pending")}) == 601
    assert len(list(client.tasks(search="task 59", limit=7))) == 7
    with pytest.raises(BadInput, match="priority"):
        client.submit("x", priority="soon")
    with pytest.raises(BadInput, match="prompt 2"):
        client.map(["fine", ""])
    assert system.counts() == {"pending": 601, "cancelled": 1}


def test_a_cancelled_task_fails_its_result_and_can_be_retried(
    client: Client, system: System
) -> None:
    task = client.submit("Explain leases.")

    assert client.cancel(task) == [task.id]

    with pytest.raises(TaskFailed, match="is cancelled") as failed:
        client.result(task, PATIENCE_SECONDS)
    assert failed.value.task.status == "cancelled"
    assert client.retry(task).status == "pending"


def test_experts_backends_and_status_are_values(client: Client, system: System) -> None:
    client.submit("Explain leases.")

    assert {expert.name for expert in client.experts()} >= {"Anna", "Boris"}
    assert {(one.name, one.healthy) for one in client.backends()} == {
        ("ollama", True),
        ("mlx", True),
    }
    assert client.status().tasks["pending"] == 1
    assert client.status().urls["dashboard"].startswith("http")


def test_a_batch_comes_back_in_order_with_its_errors_last(
    client: Client, system: System, tmp_path: Path
) -> None:
    system.start()
    lines = [batch_line(f"q-{n}", f"Explain the number {n}.") for n in range(5)]
    lines.append({**batch_line("bad", "x"), "url": "/v1/embeddings"})

    batch = client.create_batch(client.batch_file(lines), metadata={"made": "by a test"})
    done = client.wait_batch(batch, PATIENCE_SECONDS)

    results = client.batch_results(done)
    assert [one.custom_id for one in results] == [*(f"q-{n}" for n in range(5)), "bad"]
    assert all(one.text for one in results[:5])
    assert results[5].error
    assert (done.request_counts.completed, done.request_counts.failed) == (5, 1)
    with pytest.raises(BadInput, match="No such file"):
        client.batch_file(tmp_path / "missing.jsonl")


def test_waiting_outlives_a_restart_of_the_dashboard(system: System) -> None:
    port = free_port()
    found = []
    with running_dashboard(system.environ, system.directory, port=port) as first:
        client = Client(first.url)
        task = client.submit("Explain leases.")
        waiting = threading.Thread(target=lambda: found.append(client.wait(task, 60)))
        waiting.start()
    system.start()
    system.wait_status(task.id, "completed")
    with running_dashboard(system.environ, system.directory, port=port):
        waiting.join(60)
    client.close()

    assert [one.status for one in found] == ["completed"]


def test_time_that_is_over_and_names_that_are_not_there_are_said(client: Client) -> None:
    task = client.submit("Explain leases.")

    with pytest.raises(TimedOut, match="go on"):
        client.wait(task, 0.3)
    with pytest.raises(TimedOut, match="goes on"):
        list(client.stream(task, 0.3))
    with pytest.raises(NotFound):
        client.task("nothing-of-that-name")
    with pytest.raises(NotFound):
        client.batch("batch_0")


def test_a_token_is_wanted_and_what_to_do_is_said(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {**system.environ, "KOS_DASHBOARD_TOKEN": "a-token-for-tests"}
    with running_dashboard(environ, system.directory) as guarded:
        with Client(guarded.url) as nobody, pytest.raises(NotAllowed, match="KOS_DASHBOARD_TOKEN"):
            nobody.submit("x")
        monkeypatch.setenv("KOS_DASHBOARD_URL", guarded.url)
        monkeypatch.setenv("KOS_DASHBOARD_TOKEN", "a-token-for-tests")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        with Client() as known:
            task = known.submit("Explain leases.")
            known.cancel(task)
            assert "".join(known.stream(task)) == ""


def test_where_nobody_listens_is_unreachable_with_what_to_do() -> None:
    with (
        Client(f"http://127.0.0.1:{free_port()}") as client,
        pytest.raises(Unreachable, match="kos up"),
    ):
        client.status()
