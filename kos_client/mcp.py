"""An MCP server: agents submit tasks and read their results.

It uses `Client`, so an agent may do what the holder of the dashboard's token may. It needs the
extra ``mcp``.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from kos_client.client import Client
from kos_client.errors import KosError, TimedOut
from kos_client.values import Expert, Task

Connect = Callable[[], Client]
Priority = Literal["low", "medium", "high", "urgent"]
State = Literal["pending", "queued", "in_progress", "completed", "failed", "cancelled"]
TaskName = Annotated[str, Field(description="The id of submit_task, or its custom_id")]

HOST = "127.0.0.1"
LONGEST_WAIT_SECONDS = 300
SEARCH_CHARS = 400
READS = ToolAnnotations(read_only_hint=True)
INSTRUCTIONS = """\
A company of experts that runs on local model servers. Hand it work that is too long, too much or
too private to do yourself: submit_task returns at once, wait_for_task brings the answer. Work may
queue for minutes. Answers are text by language models: check them as you would check your own."""

# The SDK would take the descriptors of slots for default values, so results have no slots.


@dataclass(frozen=True)
class TaskSummary:
    """A task for an agent. ``result`` is set once the status is completed."""

    id: str
    status: str
    title: str | None
    custom_id: str | None
    expert: str | None
    model: str | None
    created_at: datetime | None
    completed_at: datetime | None
    result: str | None
    last_error: str | None


@dataclass(frozen=True)
class Found:
    """``result`` is cut after 400 characters; get_task has it whole."""

    tasks: list[TaskSummary]
    has_more: bool


@dataclass(frozen=True)
class Queue:
    """Counts of tasks by status, and the checks that are red with their remedies."""

    tasks: dict[str, int]
    problems: list[str]


class Tools:
    """The tools; their docstrings are what agents read."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    def submit_task(
        self,
        description: Annotated[str, Field(min_length=1, description="The work, whole")],
        title: str | None = None,
        priority: Priority | None = None,
        expert: Annotated[str | None, Field(description="A name of list_experts")] = None,
        model: str | None = None,
        schema: Annotated[
            dict[str, Any] | None, Field(description="JSON Schema that the answer must meet")
        ] = None,
        custom_id: Annotated[
            str | None, Field(description="A key of yours: the same one is never submitted twice")
        ] = None,
        tags: Annotated[list[str] | None, Field(description="Words to find it by")] = None,
        project: str | None = None,
    ) -> TaskSummary:
        """Hand a piece of work to the company. Returns at once with its id; it has not run yet.

        The experts see nothing but the description: put everything into it.
        """
        written = {"title": title, "priority": priority, "expert": expert, "model": model,
                   "schema": schema, "custom_id": custom_id, "tags": tags,
                   "project": project}  # fmt: skip
        options: Any = {name: value for name, value in written.items() if value is not None}
        with self._client() as client:
            return _answer(client.submit(description, **options))

    def wait_for_task(
        self,
        task: TaskName,
        seconds: Annotated[float, Field(ge=0, le=LONGEST_WAIT_SECONDS)] = 60,
    ) -> TaskSummary:
        """Wait until a task has ended, for so many seconds at most; then its state as it is.

        When the status is still pending, queued or in_progress, do something else or wait again.
        """
        with self._client() as client:
            try:
                return _answer(client.wait(task, seconds))
            except TimedOut:
                return _answer(client.task(task))

    def get_task(self, task: TaskName) -> TaskSummary:
        """One task as it stands, with its whole answer or its error."""
        with self._client() as client:
            return _answer(client.task(task))

    def search_tasks(
        self,
        text: Annotated[str | None, Field(description="Part of a title or description")] = None,
        status: State | None = None,
        expert: str | None = None,
        tag: str | None = None,
        project: str | None = None,
        since: Annotated[str | None, Field(description="10m, 2h, 3d, or an ISO time")] = None,
        limit: Annotated[int, Field(ge=1, le=100)] = 20,
        offset: Annotated[int, Field(ge=0)] = 0,
    ) -> Found:
        """Find earlier tasks, newest first: the answer you need may be there already."""
        with self._client() as client:
            page = client.page(
                limit=limit,
                offset=offset,
                search=text,
                status=status,
                expert=expert,
                since=since,
                tag=tag,
                project=project,
            )
            found = [_answer(task, max_chars=SEARCH_CHARS) for task in page.tasks]
            return Found(found, has_more=page.next_offset is not None)

    def list_experts(self) -> list[Expert]:
        """The experts with their departments, roles and load."""
        with self._client() as client:
            return [expert for expert in client.experts() if expert.active]

    def queue_status(self) -> Queue:
        """How much waits and runs now, and what is wrong, if anything is."""
        with self._client() as client:
            status = client.status()
        red = [check for check in status.health if not check.get("ok")]
        problems = [f"{one.get('name')}: {one.get('detail')}; {one.get('remedy')}" for one in red]
        return Queue(status.tasks, problems)

    @contextmanager
    def _client(self) -> Iterator[Client]:
        """A client for one call in a thread; the agent receives its errors as text."""
        try:
            with self._connect() as client:
                yield client
        except KosError as error:
            raise ToolError(str(error)) from error


def build_server(connect: Connect = Client) -> MCPServer[Any]:
    """The server with its six tools; ``connect`` opens a client for each call."""
    server: MCPServer[Any] = MCPServer(
        "knowledge-os-jobs", instructions=INSTRUCTIONS, log_level="WARNING"
    )
    tools = Tools(connect)
    server.tool()(tools.submit_task)
    for tool in (tools.wait_for_task, tools.get_task, tools.search_tasks,
                 tools.list_experts, tools.queue_status):  # fmt: skip
        server.tool(annotations=READS)(tool)
    return server


def serve_stdio(connect: Connect = Client) -> None:
    """Serve until stdin ends. Nothing else may write to stdout."""
    build_server(connect).run("stdio")


def serve_http(connect: Connect = Client, *, port: int, token: str | None) -> None:
    """Streamable HTTP at ``http://127.0.0.1:PORT/mcp`` until a signal. With ``token``, requests
    need it."""
    app: ASGIApp = build_server(connect).streamable_http_app(host=HOST)
    uvicorn.run(
        _Guarded(app, token) if token else app, host=HOST, port=port, log_level="warning",
        timeout_graceful_shutdown=5,
    )  # fmt: skip


class _Guarded:
    """Admits requests with the dashboard's token, because these tools act with its rights."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = dict(scope.get("headers") or ()).get(b"authorization", b"")
        if scope["type"] != "http" or hmac.compare_digest(token, self._expected):
            await self._app(scope, receive, send)
            return
        message = "send the header Authorization: Bearer KOS_DASHBOARD_TOKEN"
        refusal = JSONResponse({"error": message}, 401, {"WWW-Authenticate": "Bearer"})
        await refusal(scope, receive, send)


def _answer(task: Task, *, max_chars: int | None = None) -> TaskSummary:
    result = task.result
    if result is not None and max_chars is not None and len(result) > max_chars:
        result = f"{result[:max_chars]}..."
    return TaskSummary(
        id=task.id, status=task.status, title=task.title, custom_id=task.custom_id,
        expert=task.expert, model=task.model, created_at=task.created_at,
        completed_at=task.completed_at, result=result, last_error=task.last_error,
    )  # fmt: skip
