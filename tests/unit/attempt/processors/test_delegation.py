from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from jobs.attempt.processors import delegation
from jobs.attempt.processors.agents import Agent
from jobs.attempt.processors.base import TaskContext
from jobs.attempt.processors.delegation import (
    Agents,
    DelegationProcessor,
    chosen_agent,
    configured_agents,
)
from jobs.attempt.processors.expert import ExpertProcessor
from jobs.attempt.prompts import DependencyResult
from jobs.policy.metadata import Delegate, TaskOptions
from llm.errors import CallCancelled
from llm.types import CancelToken
from tests.unit.attempt.processors.fakes import FakeModel, KeptSteps

DONE = {"status": "success", "output": "Victoria's answer"}


@dataclass
class AgentServer:
    """A real agent on loopback; ``reply`` and ``status`` are what it answers next."""

    url: str = ""
    reply: Any = field(default_factory=lambda: dict(DONE))
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    hang: bool = False


@pytest.fixture
def server() -> Iterator[AgentServer]:
    state = AgentServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen = {"path": self.path, "headers": dict(self.headers), "body": json.loads(body)}
            state.seen.append(seen)
            state.arrived.set()
            if state.hang:
                state.release.wait(10)
                return
            reply = state.reply
            data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_port}"
    yield state
    state.release.set()
    http.shutdown()
    http.server_close()
    thread.join(5)


def a_task(text: str = "Translate this line", **facts: Any) -> TaskContext:
    options = facts.pop("options", TaskOptions(delegate=Delegate.VICTORIA))
    return TaskContext("task-1", "", text, options=options, **facts)


def delegated(server: AgentServer) -> DelegationProcessor:
    agent = Agent("victoria", server.url, total_seconds=10)
    return DelegationProcessor(Agents(agent, agent), instead=ExpertProcessor())


def test_an_agent_gets_goal_context_and_correlation_and_its_output_is_the_answer(
    server: AgentServer, model: FakeModel, checkpoint: KeptSteps
) -> None:
    task = a_task(
        context="### a.py",
        dependencies=(DependencyResult("Before", "a fact"),),
        correlation_id="corr-9",
    )

    result = delegated(server).run(task, model, checkpoint=checkpoint)

    assert result.text == "Victoria's answer"
    assert result.processor == "delegation/victoria"
    assert result.notes == ("delegated to victoria: its creator asked for it",)
    assert model.calls == []
    assert server.seen[0]["path"] == "/run"
    assert server.seen[0]["headers"]["X-Correlation-ID"] == "corr-9"
    assert server.seen[0]["body"] == {
        "goal": "Translate this line",
        "project_context": "### Before\na fact\n\n### a.py",
        "session_id": "task-1",
    }


@pytest.mark.parametrize(
    ("status", "headers", "reply", "reason"),
    [
        (503, {"Retry-After": "30"}, {"detail": "busy"}, "it asked to come back in 30 s"),
        (503, {}, {"detail": "busy"}, "overloaded"),
        (429, {}, {"detail": "slow down"}, "overloaded"),
        (500, {}, {"detail": "broken"}, "HTTP 500: broken"),
        (404, {}, {"detail": "Not Found"}, "HTTP 404"),
        (200, {}, {"status": "error", "output": "it broke"}, "its status is 'error': 'it broke'"),
        (200, {}, {"output": "no status"}, "its status is None"),
        (200, {}, {"status": "success", "output": " "}, "with no output"),
        (200, {}, {"status": "success", "output": {"a": 1}}, "with no output"),
        (200, {}, b"<html>", "is not JSON"),
        (200, {}, [1], "is not a JSON object"),
        (302, {"Location": "http://127.0.0.1:1/"}, {}, "redirects"),
    ],
)
def test_an_agent_that_cannot_is_replaced_by_the_expert_and_why_says_so(
    server: AgentServer,
    model: FakeModel,
    checkpoint: KeptSteps,
    status: int,
    headers: dict[str, str],
    reply: Any,
    reason: str,
) -> None:
    server.status, server.headers, server.reply = status, headers, reply

    result = delegated(server).run(a_task(), model, checkpoint=checkpoint)

    assert result.processor == "expert"
    assert result.text.startswith("A sound answer")
    assert result.notes[0].startswith("not delegated: victoria")
    assert reason in result.notes[0]
    assert result.notes[0].endswith("expert answered instead")
    assert len(server.seen) == 1


def test_an_agent_that_is_away_is_replaced_by_the_expert(
    model: FakeModel, checkpoint: KeptSteps
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    away = Agents(Agent("victoria", f"http://127.0.0.1:{port}"))

    result = DelegationProcessor(away, instead=ExpertProcessor()).run(
        a_task(), model, checkpoint=checkpoint
    )

    assert result.processor == "expert"
    assert "unreachable" in result.notes[0]


def test_an_agent_that_says_nothing_in_time_is_replaced_by_the_expert(
    server: AgentServer, model: FakeModel, checkpoint: KeptSteps
) -> None:
    server.hang = True
    agent = Agent("victoria", server.url, total_seconds=0.2)

    result = DelegationProcessor(Agents(agent), instead=ExpertProcessor()).run(
        a_task(), model, checkpoint=checkpoint
    )

    assert "timeout" in result.notes[0]


def test_an_agent_that_is_not_configured_is_replaced_by_the_expert(
    model: FakeModel, checkpoint: KeptSteps
) -> None:
    result = DelegationProcessor(Agents(), instead=ExpertProcessor()).run(
        a_task(), model, checkpoint=checkpoint
    )

    assert "victoria is not configured" in result.notes[0]


def test_cancelling_ends_a_waiting_delegation_and_nobody_answers_instead(
    server: AgentServer, model: FakeModel, checkpoint: KeptSteps
) -> None:
    server.hang = True
    cancel = CancelToken()

    def cancel_on_arrival() -> None:
        server.arrived.wait(10)
        cancel.cancel("drain")

    canceller = threading.Thread(target=cancel_on_arrival)
    canceller.start()

    with pytest.raises(CallCancelled, match="drain"):
        delegated(server).run(a_task(cancel=cancel), model, checkpoint=checkpoint)

    canceller.join(5)
    assert model.calls == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Translate this line", Delegate.VERONICA),
        ("Переведи эту строку", Delegate.VERONICA),
        ("Read the log, then fix the bug", Delegate.VICTORIA),
        ("Прочитай журнал, затем исправь ошибку", Delegate.VICTORIA),
        ("Do:\n1. this\n2. that", Delegate.VICTORIA),
        ("word " * 100, Delegate.VICTORIA),
    ],
)
def test_left_to_the_rule_one_simple_step_goes_to_veronica(text: str, expected: Delegate) -> None:
    assert chosen_agent(a_task(text, options=TaskOptions(delegate=Delegate.AUTO)))[0] is expected


@pytest.mark.parametrize(
    "options",
    [
        TaskOptions(delegate=Delegate.AUTO, complex=True),
        TaskOptions(delegate=Delegate.AUTO, file_paths=("a.py",)),
    ],
)
def test_a_burdened_task_is_not_simple(options: TaskOptions) -> None:
    assert chosen_agent(a_task("Translate", options=options))[0] is Delegate.VICTORIA


def test_a_named_agent_gets_even_what_does_not_suit_it() -> None:
    options = TaskOptions(delegate=Delegate.VERONICA, complex=True)

    assert chosen_agent(a_task("First this, then that", options=options))[0] is Delegate.VERONICA


def test_agents_without_a_url_are_sought_at_their_usual_ports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delegation, "in_container", lambda: True)
    agents = configured_agents(None, "http://10.0.0.1:9")

    assert agents.victoria is not None
    assert agents.victoria.url == "http://host.docker.internal:8010"
    assert agents.veronica is not None
    assert agents.veronica.url == "http://10.0.0.1:9"
