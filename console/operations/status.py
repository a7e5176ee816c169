"""The whole at a glance: programs, tasks by state, health, addresses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import redis

from console.operations.connections import Connections
from console.operations.errors import BadInput, Unreachable
from console.services.errors import ServiceError
from console.supervision.client import ProgramStatus
from console.supervision.status import status as program_status
from jobs.names import MEASURED
from jobs.settings import Settings
from models import backlog
from models.base import Row
from models.database import DatabaseUnavailable, session
from models.states import TaskState

BATCH = 200
T = TypeVar("T")


@dataclass(slots=True)
class Status:
    """``problems`` are lines for people: what could not be asked, and what to do."""

    document: dict[str, Any]
    problems: list[str] = field(default_factory=list)

    @property
    def red(self) -> bool:
        programs_down = any(row["state"] != "RUNNING" for row in self.document["programs"])
        return programs_down or any(not check["ok"] for check in self.document["health"])


def gather(connections: Connections) -> Status:
    """All of it, as far as it can be asked; whatever does not answer becomes a problem."""
    settings = connections.settings
    found = Status({"programs": [], "tasks": {}, "health": [], "urls": urls(settings)})
    try:
        found.document["programs"] = programs(settings)
    except ServiceError as error:
        found.problems.append(str(error))
    postgres = _try(found, "postgres", lambda: _counted(connections))
    reports = _try(found, "redis", lambda: health(connections.redis))
    found.document["tasks"] = postgres or {}
    found.document["health"] += reports or []
    return found


def programs(settings: Settings) -> list[Row]:
    """``{"name", "state", "pid", "uptime_seconds"}`` of each; raises ServiceError."""
    if settings.supervisor_socket is None and not (settings.home / "run").is_dir():
        raise ServiceError("the programs are not running; start them with: kos up")
    return [_program(found) for found in program_status(settings)]


def task_counts() -> dict[str, int]:
    """Tasks by state, every state named."""
    counts = backlog.counts()
    return {state.value: counts.pop(state.value, 0) for state in TaskState} | counts


def health(client: redis.Redis) -> list[Row]:
    """``{"name", "ok", "detail", "at"}`` of each check that the health checker reported lately."""
    keys = sorted(_text(key) for key in client.scan_iter(match=f"{MEASURED}*", count=BATCH))
    texts: Any = client.mget(keys) if keys else []
    pairs = zip(keys, texts, strict=True)
    return [_check(key.removeprefix(MEASURED), text) for key, text in pairs if text is not None]


def urls(settings: Settings) -> dict[str, str]:
    host = settings.dashboard_host
    shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else host
    return {"dashboard": f"http://{shown}:{settings.dashboard_port}"}


def _counted(connections: Connections) -> dict[str, int]:
    connections.use_database()
    with session():
        return task_counts()


def _try(found: Status, name: str, ask: Callable[[], T]) -> T | None:
    """Ask, and report on ``name`` as a health check of its own."""
    try:
        answer = ask()
    except (Unreachable, BadInput, DatabaseUnavailable, redis.RedisError) as error:
        line = str(error).strip().splitlines()[0]
        found.document["health"].append({"name": name, "ok": False, "detail": line, "at": None})
        found.problems.append(f"{name}: {line}")
        return None
    found.document["health"].append({"name": name, "ok": True, "detail": None, "at": None})
    return answer


def _program(found: ProgramStatus) -> Row:
    uptime = found.uptime_seconds
    return {
        "name": found.name,
        "state": found.state,
        "pid": found.pid,
        "uptime_seconds": round(uptime, 1) if uptime is not None else None,
    }


def _check(name: str, text: str | bytes) -> Row:
    try:
        said = json.loads(text)
    except ValueError:
        return {"name": name, "ok": False, "detail": "unreadable report", "at": None}
    if not isinstance(said, dict):
        return {"name": name, "ok": bool(said), "detail": None, "at": None}
    return {
        "name": name,
        "ok": bool(said.get("ok", said.get("healthy", False))),
        "detail": said.get("detail") or said.get("error"),
        "at": said.get("at"),
    }


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
