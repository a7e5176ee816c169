"""The protocol of an outside agent: ``POST /run`` with a goal, answered with an output.

Sent: ``{goal, project_context, session_id}`` with ``X-Correlation-ID``. Received: ``{status,
output, knowledge?, correlation_id?}``. A call may take minutes without a byte, so it runs under a
watch: cancelling closes its socket at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm.backends import mapping
from llm.backends.transport import HttpTransport, decode
from llm.errors import ServerFailed, TotalTimeout
from llm.types import BackendKind, BackendSpec, CancelToken
from llm.urls import normalise
from llm.watch import CallWatch

CONNECT_SECONDS = 3.05
_SUCCEEDED = frozenset({"success", "succeeded", "ok", "completed", "complete", "done", "finished"})


@dataclass(frozen=True, slots=True)
class Agent:
    """An outside agent; ``url`` may contain credentials, which are never displayed."""

    name: str
    url: str
    total_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class AgentAnswer:
    output: str
    knowledge: Mapping[str, Any] | None = None
    correlation_id: str | None = None


def run(
    agent: Agent,
    *,
    goal: str,
    project_context: str,
    session_id: str,
    correlation_id: str,
    cancel: CancelToken,
) -> AgentAnswer:
    """One request to ``agent``. Raises only `LLMError`s: `Overloaded` for 503 and 429,
    `BackendUnreachable`, timeouts, `ServerFailed` for a status that is no success,
    `CallCancelled` where ``cancel`` ended it."""
    address = normalise(agent.url)
    spec = BackendSpec(agent.name, BackendKind.OPENAI, address.url, basic_auth=address.basic_auth)
    body = {"goal": goal, "project_context": project_context, "session_id": session_id}
    transport = _AgentTransport(spec, correlation_id)
    try:
        with (
            CallWatch(total_seconds=agent.total_seconds, cancel=cancel) as watch,
            mapping.mapped_errors(backend=agent.name, watch=watch),
        ):
            watch.expect(_late(agent), agent.total_seconds)
            reply = transport.post("/run", body, watch=watch, connect_seconds=CONNECT_SECONDS)
            return _answer(decode(reply))
    finally:
        transport.close()


class _AgentTransport(HttpTransport):
    """A transport for one request, which sends its correlation id."""

    def __init__(self, spec: BackendSpec, correlation_id: str) -> None:
        super().__init__(spec)
        if correlation_id:
            self._session.headers["X-Correlation-ID"] = correlation_id


def _late(agent: Agent) -> Any:
    return lambda seconds: TotalTimeout(f"{agent.name} gave no answer in {seconds:g} s")


def _answer(reply: Mapping[str, Any]) -> AgentAnswer:
    status = reply.get("status")
    output = reply.get("output")
    if not isinstance(status, str) or status.strip().lower() not in _SUCCEEDED:
        raise ServerFailed(f"its status is {status!r:.60}: {output!r:.200}")
    if not isinstance(output, str) or not output.strip():
        raise ServerFailed(f"it answered {status} with no output")
    knowledge = reply.get("knowledge")
    correlation = reply.get("correlation_id")
    return AgentAnswer(
        output,
        knowledge if isinstance(knowledge, Mapping) else None,
        correlation if isinstance(correlation, str) else None,
    )
