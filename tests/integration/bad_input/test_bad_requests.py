"""Wrong requests to the dashboard's API: the right status, the field, and nobody else hurt."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.integration.bad_input.conftest import count_tasks
from tests.integration.bad_input.doors import says, shows_no_traceback
from tests.integration.web.dashboards import Dashboard, running_dashboard

NO_TASK = "00000000-0000-4000-8000-00000000dead"
CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}
BATCH_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Bad:
    """``body``: bytes are sent as they stand, anything else as JSON."""

    method: str
    path: str
    status: int
    says: tuple[str, ...]
    body: Any = None
    name: str = ""


def get(path: str, status: int, *parts: str) -> Bad:
    return Bad("GET", path, status, parts)


def post(path: str, status: int, body: Any, *parts: str, name: str = "") -> Bad:
    return Bad("POST", path, status, parts, body, name)


def submit(body: Any, *parts: str, status: int = 422) -> Bad:
    return post("/api/v1/tasks", status, body, *parts)


TABLE = (
    submit(b"{broken", "the body is not JSON", status=400),
    submit(b"", "Content-Type", status=415),
    submit(b"\xff\xfe", "the body is not UTF-8 (byte 1)", status=400),
    submit(b"[" * 100_000, "nested too deeply", status=400),
    submit(b"9" * 5000, "the body is not JSON", status=400),
    submit(5, "expected an object"),
    submit([], "expected an object, got a list"),
    submit({}, "description", "is missing"),
    submit({"description": 5}, "description: expected text in quotes"),
    submit({"description": "a\0b"}, "description", "NUL"),
    submit({"description": "x" * 2_000_000}, "description", "1 MB"),
    submit({"description": "x", "category": "poetry"}, "category: unknown value"),
    submit({"description": "x", "priority": 5}, "priority: expected one of"),
    submit({"description": "x", "expert": "Nobody"}, "expert: 'Nobody' is unknown"),
    submit({"description": "x", "backend": "olama"}, "did you mean ollama?"),
    submit({"description": "x", "after": ["nobody"]}, "after: 'nobody'"),
    submit({"description": "x", "schema": {"type": "objekt"}}, "schema: is not a valid"),
    submit({"description": "x", "files": ["/etc/passwd"]}, "files:", "KOS_FILE_ROOTS"),
    submit({"description": "x", "metadata": {"num_ctx": "8k"}}, "metadata.num_ctx:"),
    submit({"tasks": 5}, "tasks: write"),
    submit({"tasks": [], "title": "x"}, "nothing beside it"),
    submit({"tasks": [{}] * 10_001}, "at most 10000"),
    post("/api/v1/tasks/cancel", 422, {"ids": "x"}, "ids: write"),
    post("/api/v1/tasks/cancel", 422, {"ids": [5]}, "ids: write"),
    post("/api/v1/tasks/cancel", 404, {"ids": [NO_TASK]}, "no task has the id", NO_TASK),
    post("/api/v1/tasks/cancel", 422, {"ids": ["x"] * 1001}, "at most 1000"),
    post("/api/v1/tasks/retry", 422, [], "ids: write"),
    post(f"/api/v1/tasks/{NO_TASK}/cancel", 404, {}, "no task has the id"),
    post(f"/api/v1/tasks/{NO_TASK}/retry", 422, {"elsewhere": "yes"}, "elsewhere: must be true"),
    post("/api/v1/backends/olama/pause", 404, {}, "did you mean ollama?"),
    get("/api/v1/tasks?limit=many", 422, "limit: write a whole number from 1 to 1000"),
    get("/api/v1/tasks?offset=-1", 422, "offset: write"),
    get("/api/v1/tasks?status=compleated", 422, "did you mean completed?"),
    get("/api/v1/tasks?since=yesterdaay", 422, "since: 'yesterdaay' is no time"),
    get("/api/v1/tasks?search=%00", 422, "search:", "no NUL"),
    get("/api/v1/tasks/nobody", 404, "no task has the id or custom_id 'nobody'"),
    get("/api/v1/tasks/%00", 404, "no task"),
    get("/api/v1/tasks/nobody/why", 404, "no task"),
    get("/api/v1/queues/llm-olama/messages", 404, "did you mean llm-ollama?"),
    get("/api/v1/queues/llm-ollama/messages?where=there", 422, "where: write one of"),
    get("/api/v1/nothing", 404, "Not Found"),
    Bad("DELETE", "/api/v1/tasks", 405, ("Method Not Allowed",)),
    post("/v1/files", 415, {}, "multipart/form-data"),
    get("/v1/files/file-nothing", 404, "no such file"),
    get("/v1/files/..%2F..%2Fetc%2Fpasswd/content", 404),
    get("/v1/files?limit=0", 422, "limit: write"),
    Bad("DELETE", "/v1/files/file-nothing", 404, ("no such file",)),
    post("/v1/batches", 400, [], "the body must be an object"),
    post("/v1/batches", 400, {"endpoint": "/v1/embeddings"}, "endpoint: only"),
    post("/v1/batches", 400, {"endpoint": CHAT}, "input_file_id: no such file"),
    post("/v1/batches", 400, {"endpoint": CHAT, "input_file_id": 5}, "input_file_id:"),
    post("/v1/batches", 400, {"endpoint": CHAT, "completion_window": "1h"}, "completion_window:"),
    post("/v1/batches", 400, {"endpoint": CHAT, "metadata": {"a": 5}}, "metadata: at most 16"),
    get("/v1/batches/batch_nothing", 404, "no such batch"),
    post("/v1/batches/batch_nothing/cancel", 404, {}, "no such batch"),
)


def chat(**fields: Any) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": "hello"}], **fields}
    return {"method": "POST", "url": CHAT, "body": body}


BATCH_LINES = (
    ({"method": "GET", "url": CHAT}, "invalid_method"),
    ({"url": "/v1/embeddings"}, "invalid_url"),
    ({"url": CHAT}, "missing_body"),
    (chat(messages=[]), "invalid_messages"),
    (chat(messages=[{"role": "user"}]), "invalid_messages"),
    (chat(messages=[{"role": "user", "content": [{"type": "image_url"}]}]), "invalid_messages"),
    (chat(messages=[{"role": "assistant", "content": "x"}]), "invalid_messages"),
    (chat(model=5), "invalid_model"),
    (chat(stream=True), "invalid_parameter"),
    (chat(n=2), "invalid_parameter"),
    (chat(max_tokens="many"), "invalid_parameter"),
    (chat(response_format={"type": "yaml"}), "invalid_response_format"),
)

FILES = (
    (b"", "empty_file"),
    (b'{"url": "/v1/chat/completions"}\n', "missing_custom_id"),
    (b'{"custom_id": "a"}\n{"custom_id": "a"}\n', "duplicate_custom_id"),
)


@pytest.fixture(scope="module")
def dashboard(environ: dict[str, str], files: Path) -> Iterator[Dashboard]:
    with running_dashboard(environ, files) as running:
        yield running


@pytest.mark.parametrize(
    "case", TABLE, ids=[f"{case.method} {case.path} {case.says}"[:70] for case in TABLE]
)
def test_a_wrong_request_is_refused_with_its_field(
    dashboard: Dashboard, database_url: str, case: Bad
) -> None:
    before = count_tasks(database_url)
    raw = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()
    headers = JSON if raw and case.method == "POST" else {}

    answer = requests.request(
        case.method, dashboard.url + case.path, data=raw, headers=headers, timeout=20
    )

    assert answer.status_code == case.status, answer.text
    says(answer.json().get("error", {}).get("message") or told(answer), case.says)
    shows_no_traceback(answer.text)
    assert count_tasks(database_url) == before


def test_wrong_tasks_beside_a_good_one_are_refused_by_number(dashboard: Dashboard) -> None:
    wrong: list[Any] = [None, "x", {"descriptoin": "x"}, {"description": "\ud800"}]

    report = dashboard.post("/api/v1/tasks", json={"tasks": [*wrong, {"description": "good"}]})

    assert report.status_code == 201
    assert report.json()["submitted"] == 1
    assert [entry["line"] for entry in report.json()["rejected"]] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"data": {"purpose": "batch"}, "files": {"other": b"x"}}, "file: is missing"),
        ({"data": {"purpose": "tuning"}, "files": {"file": b"x"}}, "purpose: write batch"),
        ({"files": {"file": b"x"}}, "purpose: write batch"),
    ],
)
def test_a_wrong_upload_names_the_part(
    dashboard: Dashboard, form: dict[str, Any], message: str
) -> None:
    answer = dashboard.post("/v1/files", **form)

    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


@pytest.mark.parametrize(("content", "code"), FILES, ids=[code for _, code in FILES])
def test_a_file_that_is_no_batch_fails_the_batch_with_its_reason(
    dashboard: Dashboard, content: bytes, code: str
) -> None:
    batch = started(dashboard, content)

    ended = wait_until(dashboard, batch["id"], "failed")

    assert ended["errors"]["data"][0]["code"] == code


def test_wrong_lines_of_a_batch_are_refused_one_by_one(dashboard: Dashboard) -> None:
    lines = [{"custom_id": f"bad-{n}", **line} for n, (line, _) in enumerate(BATCH_LINES)]
    lines.append({"custom_id": "good", **chat()})
    content = b"\n".join(json.dumps(line).encode() for line in lines) + b"\n{broken\n"

    batch = started(dashboard, content)
    wait_until(dashboard, batch["id"], "in_progress", "cancelling")
    dashboard.post(f"/v1/batches/{batch['id']}/cancel", json={})
    ended = wait_until(dashboard, batch["id"], "cancelled")

    content = dashboard.get(f"/v1/files/{ended['error_file_id']}/content").content
    errors = {line["custom_id"]: line["error"] for line in map(json.loads, content.splitlines())}
    assert [errors[f"bad-{n}"]["code"] for n in range(len(BATCH_LINES))] == [
        code for _, code in BATCH_LINES
    ]
    assert errors[None]["code"] == "invalid_json_line"
    assert errors["good"]["code"] == "batch_cancelled"


def test_the_dashboard_wrote_no_traceback(dashboard: Dashboard) -> None:
    assert dashboard.process.poll() is None
    assert "Traceback" not in dashboard.log.read_text()


def told(answer: requests.Response) -> str:
    """The refusals of a report, where the answer is no error."""
    return "; ".join(entry["error"] for entry in answer.json().get("rejected", ()))


def started(dashboard: Dashboard, content: bytes) -> dict[str, Any]:
    uploaded = dashboard.post(
        "/v1/files", files={"file": ("in.jsonl", content)}, data={"purpose": "batch"}
    )
    assert uploaded.ok, uploaded.text
    batch: dict[str, Any] = dashboard.post(
        "/v1/batches", json={"endpoint": CHAT, "input_file_id": uploaded.json()["id"]}
    ).json()
    return batch


def wait_until(dashboard: Dashboard, batch_id: str, *statuses: str) -> dict[str, Any]:
    end = time.monotonic() + BATCH_SECONDS
    while True:
        batch: dict[str, Any] = dashboard.get(f"/v1/batches/{batch_id}").json()
        if batch["status"] in statuses:
            return batch
        assert time.monotonic() < end, batch
        time.sleep(0.05)
