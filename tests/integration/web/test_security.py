"""Who may do what: over plain HTTP, as an attacker would."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest
import requests

from llm.connections import HEADER_SECONDS
from tests.integration.web.conftest import TOKEN
from tests.integration.web.dashboards import Dashboard, running_dashboard
from tests.support.programs import ROOT
from tests.support.system import System

BEARER = {"Authorization": f"Bearer {TOKEN}"}
CHANGES: tuple[tuple[str, dict[str, str]], ...] = (
    ("/tasks", {"verb": "cancel"}), ("/submit", {"description": "x"}),
    ("/tasks/{task}/cancel", {}), ("/tasks/{task}/retry", {}), ("/tasks/{task}/elsewhere", {}),
    ("/tasks/{task}/again", {}),
    ("/backends/mlx/pause", {}), ("/backends/mlx/resume", {}),
    ("/schedule/pause", {"name": "plan"}), ("/schedule/run", {"name": "plan"}),
    ("/queues/llm-mlx/requeue", {}), ("/queues/llm-mlx/delete", {}),
    ("/queues/llm-mlx/purge", {"confirm": "llm-mlx", "part": "all"}), ("/logout", {}),
    ("/prefer", {"lang": "ru"}), ("/login", {"token": TOKEN}),
)  # fmt: skip


def test_it_refuses_to_listen_for_others_without_a_token(system: System) -> None:
    environ = {**os.environ, **system.environ, "KOS_DASHBOARD_HOST": "0.0.0.0"}

    refused = subprocess.run(
        [sys.executable, "-m", "console.web"],
        cwd=ROOT, env=environ, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip

    assert refused.returncode == 2
    assert "KOS_DASHBOARD_TOKEN" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_without_the_token_nothing_is_shown(guarded: Dashboard) -> None:
    for path in ("/", "/tasks", "/feed", "/tasks/x", "/tasks/x/live", "/health"):
        answer = guarded.get(path, allow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    for path in ("/api/v1/status", "/api/v1/openapi.json", "/api/v1/events", "/v1/files",
                 "/metrics"):  # fmt: skip
        assert guarded.get(path).status_code == 401
    assert guarded.get("/healthz").status_code == 200
    assert guarded.get("/api/v1/status", headers=BEARER).status_code == 200
    assert guarded.get("/metrics", headers=BEARER).status_code == 200


def test_every_change_wants_its_form_token(dashboard: Dashboard, system: System) -> None:
    task_id = system.insert("Stay", "Explain.")
    browser = requests.Session()
    browser.get(dashboard.url, timeout=20)

    for path, form in CHANGES:
        url = f"{dashboard.url}{path.format(task=task_id)}"
        for csrf in ("", "0" * 64):
            answer = browser.post(url, data={**form, "csrf": csrf}, timeout=20)
            assert answer.status_code == 403, (path, answer.text)

    assert system.task(task_id)["status"] == "pending"


def test_a_form_token_of_another_session_is_refused(dashboard: Dashboard) -> None:
    theirs = requests.Session()
    form = _form_token(theirs.get(f"{dashboard.url}/submit", timeout=20).text)

    answer = requests.post(
        f"{dashboard.url}/submit", data={"csrf": form, "description": "x"}, timeout=20
    )

    assert answer.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
    ],
)
def test_a_request_from_another_site_changes_nothing(
    dashboard: Dashboard, system: System, headers: dict[str, str]
) -> None:
    answers = [
        dashboard.post("/api/v1/tasks", json={"description": "x"}, headers=headers),
        dashboard.post("/submit", data={"description": "x"}, headers=headers),
        dashboard.post("/v1/files", files={"file": b"{}"}, headers=headers),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert system.counts() == {}


def test_a_plain_form_cannot_reach_the_api(dashboard: Dashboard, system: System) -> None:
    answer = dashboard.post(
        "/api/v1/tasks", data='{"description": "x"}', headers={"Content-Type": "text/plain"}
    )

    assert answer.status_code == 415
    assert system.counts() == {}


def test_a_rebound_host_name_is_not_served(dashboard: Dashboard) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "", "localhost.evil"):
        assert dashboard.get("/", headers={"Host": host}).status_code in {400, 421}
    for host in ("localhost:1", "127.0.0.1", "[::1]:80", "LOCALHOST"):
        assert dashboard.get("/", headers={"Host": host}).status_code == 200


def test_every_answer_carries_the_policy(dashboard: Dashboard) -> None:
    for path in ("/", "/nowhere", "/static/app.js", "/api/v1/status", "/healthz"):
        headers = dashboard.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
    text = dashboard.get("/").text
    assert not re.search(r"\son\w+=|<script(?![^>]*\bsrc=)|<style|\sstyle=", text)
    assert "http://" not in text.replace(dashboard.url, "").replace("http://127.0.0.1", "")


def test_the_session_cookie_is_closed(guarded: Dashboard) -> None:
    browser = requests.Session()
    form = _form_token(browser.get(f"{guarded.url}/login", timeout=20).text)

    answer = browser.post(
        f"{guarded.url}/login",
        data={"csrf": form, "token": TOKEN},
        timeout=20,
        allow_redirects=False,
    )

    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    assert browser.get(f"{guarded.url}/tasks", timeout=20).url.endswith("/tasks")


def test_a_logout_ends_the_session_also_for_who_kept_its_cookie(guarded: Dashboard) -> None:
    browser = requests.Session()
    form = _form_token(browser.get(f"{guarded.url}/login", timeout=20).text)
    browser.post(f"{guarded.url}/login", data={"csrf": form, "token": TOKEN}, timeout=20)
    kept = browser.cookies.copy()
    form = _form_token(browser.get(f"{guarded.url}/submit", timeout=20).text)

    browser.post(f"{guarded.url}/logout", data={"csrf": form}, timeout=20)

    again = guarded.get("/tasks", cookies=kept, allow_redirects=False)
    assert (again.status_code, again.headers["location"]) == (303, "/login")


def test_nobody_speaks_for_another_address_unless_its_proxy_is_named(
    guarded: Dashboard, system: System
) -> None:
    def guess(dashboard: Dashboard, number: int) -> int:
        headers = {"Authorization": f"Bearer {number}", "X-Forwarded-For": f"10.0.0.{number}"}
        return dashboard.get("/metrics", headers=headers).status_code

    assert [guess(guarded, number) for number in range(7)] == [401] * 5 + [429] * 2

    environ = {**system.environ, "KOS_DASHBOARD_TOKEN": TOKEN, "KOS_DASHBOARD_PROXIES": "127.0.0.1"}
    with running_dashboard(environ, system.directory) as behind_a_proxy:
        assert [guess(behind_a_proxy, number) for number in range(7)] == [401] * 7


@pytest.mark.parametrize("query", ["offset={}", "said=cancelled&n={}", "offset=-1", "offset=²"])
def test_a_number_that_is_none_is_refused(dashboard: Dashboard, query: str) -> None:
    for path in ("/tasks", "/api/v1/tasks"):
        if path.startswith("/api") and "offset" not in query:
            continue
        answer = dashboard.get(f"{path}?{query.format('9' * 5000)}")
        assert answer.status_code == 422, answer.text[:200]
    assert dashboard.get(f"/nowhere?{query.format('9' * 5000)}").status_code == 404


def test_half_open_connections_and_wrong_tokens_keep_nobody_out(guarded: Dashboard) -> None:
    """All from one address. The measured times are medians of ten, in the same minute."""
    address = ("127.0.0.1", urlsplit(guarded.url).port)
    before = _median_seconds(guarded)
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(files, min(most, 4096)), most))
    with contextlib.ExitStack() as held:
        for number in range(3000):
            half = held.enter_context(socket.create_connection(address, timeout=10))
            if number % 2:
                with contextlib.suppress(OSError):
                    half.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: local")
        for number in range(300):
            guarded.get("/metrics", headers={"Authorization": f"Bearer guess {number}"})

        meanwhile = _median_seconds(guarded)

    print(f"before {before * 1000:.1f} ms, meanwhile {meanwhile * 1000:.1f} ms")
    assert meanwhile < before + 0.1


def _median_seconds(dashboard: Dashboard) -> float:
    seconds = []
    for _ in range(10):
        begun = time.monotonic()
        assert dashboard.get("/api/v1/experts", headers=BEARER).status_code == 200
        seconds.append(time.monotonic() - begun)
    return statistics.median(seconds)


def test_a_header_that_does_not_come_ends_its_connection(guarded: Dashboard) -> None:
    address = ("127.0.0.1", urlsplit(guarded.url).port)
    with socket.create_connection(address, timeout=30) as half:
        half.sendall(b"GET / HTTP/1.1\r\nHost: local")
        begun = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert half.recv(1) == b""

    assert time.monotonic() - begun < 2 * HEADER_SECONDS


def test_two_dashboards_of_a_host_keep_their_sessions(guarded: Dashboard, system: System) -> None:
    environ = {**system.environ, "KOS_DASHBOARD_TOKEN": "another-token"}
    with running_dashboard(environ, system.directory) as other:
        browser = requests.Session()
        for dashboard, token in ((guarded, TOKEN), (other, "another-token")):
            form = _form_token(browser.get(f"{dashboard.url}/login", timeout=20).text)
            data = {"csrf": form, "token": token}
            browser.post(f"{dashboard.url}/login", data=data, timeout=20)

        for dashboard in (guarded, other):
            assert browser.get(f"{dashboard.url}/tasks", timeout=20).url.endswith("/tasks")


def test_a_forged_cookie_opens_nothing(guarded: Dashboard) -> None:
    name = f"kos_session_{urlsplit(guarded.url).port}"
    for cookie in ("1.9999999999.x.y", "1.9999999999.x", "...", "1..", "\u00e9"):
        answer = guarded.get(
            "/tasks", headers={"Cookie": f"{name}={cookie}".encode()}, allow_redirects=False
        )
        assert answer.status_code == 303


def test_a_cookie_alone_does_not_change_things_through_the_api(guarded: Dashboard) -> None:
    browser = requests.Session()
    form = _form_token(browser.get(f"{guarded.url}/login", timeout=20).text)
    browser.post(f"{guarded.url}/login", data={"csrf": form, "token": TOKEN}, timeout=20)
    form = _form_token(browser.get(f"{guarded.url}/submit", timeout=20).text)

    url, body = f"{guarded.url}/api/v1/tasks", {"description": "Explain."}
    without = browser.post(url, json=body, timeout=20)
    with_it = browser.post(url, json=body, headers={"X-CSRF-Token": form}, timeout=20)

    assert (without.status_code, with_it.status_code) == (403, 201)


def test_guessing_the_token_is_slowed_down(guarded: Dashboard) -> None:
    browser = requests.Session()
    form = _form_token(browser.get(f"{guarded.url}/login", timeout=20).text)

    def shown(token: str) -> requests.Response:
        data = {"csrf": form, "token": token}
        return browser.post(f"{guarded.url}/login", data=data, timeout=20)

    assert [shown(f"guess {n}").status_code for n in range(5)] == [403] * 5
    late = shown("guess 6")
    assert late.status_code == 429
    assert int(late.headers["retry-after"]) > 0
    assert shown(TOKEN).url.endswith("/")


def test_guessing_in_the_bearer_header_is_slowed_down_too(guarded: Dashboard) -> None:
    def shown(token: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return guarded.get("/api/v1/status", headers=headers)

    assert shown(TOKEN).status_code == 200
    assert [shown(f"guess {n}").status_code for n in range(5)] == [401] * 5
    late = shown("guess 6")
    assert late.status_code == 429
    assert 0 < int(late.headers["retry-after"]) <= 60
    assert "too many wrong tokens" in late.json()["error"]["message"]
    assert shown(TOKEN).status_code == 200
    assert guarded.get("/tasks", headers=BEARER).status_code == 200
    assert guarded.get("/api/v1/status").status_code == 401
    assert guarded.get("/healthz").status_code == 200


def test_without_a_token_no_bearer_is_wrong(dashboard: Dashboard) -> None:
    headers = {"Authorization": "Bearer anything"}

    answers = [dashboard.get("/api/v1/status", headers=headers) for _ in range(7)]

    assert {answer.status_code for answer in answers} == {200}


def test_read_only_changes_nothing(system: System) -> None:
    environ = {**system.environ, "KOS_DASHBOARD_READ_ONLY": "true"}
    task_id = system.insert("Stay", "Explain.")
    with running_dashboard(environ, system.directory) as dashboard:
        browser = requests.Session()
        form = _form_token(browser.get(f"{dashboard.url}/submit", timeout=20).text)
        assert "Cancel ticked" not in browser.get(f"{dashboard.url}/tasks", timeout=20).text
        for path, data in CHANGES[:-3]:
            url = f"{dashboard.url}{path.format(task=task_id)}"
            assert browser.post(url, data={**data, "csrf": form}, timeout=20).status_code == 403
        assert dashboard.post("/api/v1/tasks", json={"description": "x"}).status_code == 403
        assert requests.delete(f"{dashboard.url}/v1/files/x", timeout=20).status_code == 403
        chosen = {"csrf": form, "lang": "ru", "back": "/tasks"}
        russian = browser.post(f"{dashboard.url}/prefer", data=chosen, timeout=20)
        assert (russian.status_code, '<html lang="ru"' in russian.text) == (200, True)

    assert system.counts() == {"pending": 1}


def test_a_body_beyond_its_bound_is_refused(dashboard: Dashboard) -> None:
    def endless() -> object:
        for _ in range(40):
            yield b" " * 1024 * 1024

    headers = {"Content-Type": "application/json"}
    said = dashboard.post("/api/v1/tasks", data=b" " * (17 * 1024 * 1024), headers=headers)
    assert said.status_code == 413

    try:
        hidden = dashboard.post("/api/v1/tasks", data=endless(), headers=headers)
        assert hidden.status_code == 413
    except requests.ConnectionError:
        pass  # cut off in the middle, which is an answer too
    assert dashboard.get("/healthz").ok


def test_nobody_is_led_to_another_site(dashboard: Dashboard) -> None:
    browser = requests.Session()
    form = _form_token(browser.get(f"{dashboard.url}/submit", timeout=20).text)

    for back in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:1"):
        answer = browser.post(
            f"{dashboard.url}/prefer",
            data={"csrf": form, "lang": "ru", "back": back},
            timeout=20,
            allow_redirects=False,
        )
        assert answer.headers["location"] == "/"


def _form_token(text: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', text)
    assert found, text
    return found[1]
