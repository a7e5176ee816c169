"""``kos mcp`` as agents meet it: by the official SDK's clients, over stdio and HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import requests
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from console.home import free_port
from tests.integration.web.dashboards import Dashboard, running_dashboard
from tests.support.system import System

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "mcp.md").read_text(encoding="utf-8")
PROGRAM = "import sys; from console.cli.main import main; sys.exit(main())"
TOOLS = {
    "submit_task", "wait_for_task", "get_task", "search_tasks", "list_experts", "queue_status",
}  # fmt: skip
TOKEN = "a-token-for-tests"
START_SECONDS = 30.0
SESSION_SECONDS = 120.0


def _run(session: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(session, SESSION_SECONDS))


def _environ(system: System, url: str) -> dict[str, str]:
    return {**os.environ, **system.environ, "KOS_DASHBOARD_URL": url, "PYTHONPATH": str(ROOT)}


@contextmanager
def _http_server(environ: Mapping[str, str]) -> Iterator[str]:
    """The address of ``kos mcp --http``."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "mcp", "--http", str(port)], cwd=ROOT, env=environ
    )
    url = f"http://127.0.0.1:{port}/mcp"
    try:
        _wait_until_it_answers(url, process)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            requests.get(url, timeout=5)
        except requests.ConnectionError:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return


async def _called(agent: Client, tool: str, **arguments: Any) -> Any:
    answer = await agent.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    return answer.structured_content


async def _refused(agent: Client, tool: str, **arguments: Any) -> str:
    answer = await agent.call_tool(tool, arguments)
    assert answer.is_error, answer.structured_content
    return " ".join(getattr(part, "text", "") for part in answer.content)


def test_an_agent_hands_work_over_stdio_and_reads_the_answer(
    dashboard: Dashboard, system: System
) -> None:
    system.start()
    block = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0]
    configured = json.loads(block)["mcpServers"]["knowledge-os-jobs"]
    assert configured["command"] == "kos"
    command = StdioServerParameters(
        command=sys.executable,
        args=["-c", PROGRAM, *configured["args"]],
        env=_environ(system, dashboard.url),
        cwd=ROOT,
    )

    async def session() -> None:
        async with Client(command) as agent:
            assert {tool.name for tool in (await agent.list_tools()).tools} == TOOLS
            work = {"description": "Explain what a lease is.", "custom_id": "lease"}
            task = await _called(agent, "submit_task", **work)
            done = await _called(agent, "wait_for_task", task=task["id"], seconds=90)
            assert done["status"] == "completed"
            assert done["result"]
            assert (await _called(agent, "get_task", task="lease"))["result"] == done["result"]
            assert (await _called(agent, "submit_task", **work))["id"] == task["id"]
            found = await _called(agent, "search_tasks", text="lease", status="completed")
            assert [one["id"] for one in found["tasks"]] == [task["id"]]
            experts = await _called(agent, "list_experts")
            assert {one["name"] for one in experts["result"]} >= {"Anna", "Boris"}
            assert (await _called(agent, "queue_status"))["tasks"]["completed"] == 1

    _run(session())


def test_what_is_refused_is_told_to_the_agent_with_what_to_do(
    dashboard: Dashboard, system: System
) -> None:
    with _http_server(_environ(system, dashboard.url)) as url:

        async def session() -> None:
            async with Client(url) as agent:
                waiting = await _called(agent, "submit_task", description="Explain leases.")
                still = await _called(agent, "wait_for_task", task=waiting["id"], seconds=0.2)
                assert still["status"] == "pending"
                assert "Anna" in await _refused(agent, "submit_task", description="x", expert="Ana")
                assert "nothing-here" in await _refused(agent, "get_task", task="nothing-here")
                assert await _refused(agent, "wait_for_task", task=waiting["id"], seconds=9999)
                dashboard.process.terminate()
                dashboard.process.wait(15)
                assert "kos up" in await _refused(agent, "queue_status")

        _run(session())
    assert system.counts() == {"pending": 1}


def test_the_example_of_the_docs_runs(dashboard: Dashboard, system: System) -> None:
    system.start()
    block = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
    with _http_server(_environ(system, dashboard.url)) as url:
        done = subprocess.run(
            [sys.executable, "-c", block.replace("http://127.0.0.1:11490/mcp", url)],
            capture_output=True, text=True, timeout=180,
        )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("completed ")


def test_over_http_the_dashboards_token_is_wanted(system: System) -> None:
    environ = {**system.environ, "KOS_DASHBOARD_TOKEN": TOKEN}
    with (
        running_dashboard(environ, system.directory) as guarded,
        _http_server({**_environ(system, guarded.url), "KOS_DASHBOARD_TOKEN": TOKEN}) as url,
    ):
        assert requests.post(url, json={}, timeout=10).status_code == 401
        wrong = {"Authorization": "Bearer another"}
        assert requests.post(url, json={}, headers=wrong, timeout=10).status_code == 401

        async def session() -> None:
            right = {"Authorization": f"Bearer {TOKEN}"}
            async with (
                httpx2.AsyncClient(headers=right) as http,
                Client(streamable_http_client(url, http_client=http)) as agent,
            ):
                await _called(agent, "submit_task", description="Explain leases.")

        _run(session())
    assert system.counts() == {"pending": 1}


@pytest.mark.parametrize(
    "header", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}], ids=["page", "name"]
)
def test_a_web_page_cannot_speak_to_it(
    dashboard: Dashboard, system: System, header: dict[str, str]
) -> None:
    with _http_server(_environ(system, dashboard.url)) as url:
        answer = requests.post(url, json={}, headers=header, timeout=10)

    assert answer.status_code in (403, 421)
