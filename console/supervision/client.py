"""Speaks to supervisord over its private socket, never waiting for ever."""

from __future__ import annotations

import http.client
import time
import xmlrpc.client
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.services.errors import ServiceError
from jobs.process.supervisor import UnixTransport

BAD_NAME, ALREADY_STARTED, NOT_RUNNING, ALREADY_ADDED, STILL_RUNNING = 10, 60, 70, 90, 91


class SupervisorNotRunning(ServiceError):
    """Nobody listens at the supervisor's socket."""

    def __init__(self) -> None:
        super().__init__("the programs are not running; start them with: kos up")


class SupervisorSilent(ServiceError):
    """A supervisord is there, and does not answer in time."""

    def __init__(self) -> None:
        super().__init__("supervisord does not answer; end it with kos down, then: kos up")


@dataclass(frozen=True, slots=True)
class ProgramStatus:
    """``name`` is ``group:name``; ``state`` is supervisor's word: RUNNING, STOPPED, FATAL, ...

    ``pid`` and ``uptime_seconds`` are None unless the program runs; ``detail`` says why it does
    not, where supervisor knows. ``started`` is the second of the last start (Unix time), 0: never.
    """

    name: str
    state: str
    pid: int | None = None
    uptime_seconds: float | None = None
    detail: str = ""
    started: int = 0

    @property
    def runs(self) -> bool:
        return self.state == "RUNNING"

    @property
    def group(self) -> str:
        return self.name.partition(":")[0]


class Supervisor:
    """The calls that we use. Raises SupervisorNotRunning if nobody listens at the socket, and
    SupervisorSilent if a step of a call takes longer than ``seconds``."""

    def __init__(self, socket_path: Path, *, seconds: float | None = None) -> None:
        self._transport = UnixTransport(socket_path, seconds=seconds)
        self._proxy = xmlrpc.client.ServerProxy("http://localhost", transport=self._transport)

    def answers(self) -> bool:
        try:
            self.pid()
        except SupervisorNotRunning:
            return False
        return True

    def pid(self) -> int:
        return int(self._call("getPID"))

    def status(self) -> tuple[ProgramStatus, ...]:
        return tuple(_status(info) for info in self._call("getAllProcessInfo"))

    def start(self, name: str) -> None:
        """Ask for the start of one program or ``group:*``; does not wait."""
        method = "startProcessGroup" if name.endswith(":*") else "startProcess"
        self._call(method, name.removesuffix(":*"), False, tolerate={ALREADY_STARTED})

    def stop(self, name: str) -> None:
        """Ask for the stop of one program or ``group:*``; does not wait."""
        method = "stopProcessGroup" if name.endswith(":*") else "stopProcess"
        self._call(method, name.removesuffix(":*"), False, tolerate={NOT_RUNNING})

    def signal(self, name: str, signal_name: str) -> None:
        self._call("signalProcess", name, signal_name, tolerate={NOT_RUNNING})

    def shutdown(self) -> None:
        self._call("shutdown")

    def reload_configuration(self) -> tuple[list[str], list[str], list[str]]:
        """(added, changed, removed) groups, as the files now say; changes nothing yet."""
        added, changed, removed = self._call("reloadConfig")[0]
        return added, changed, removed

    def add_group(self, name: str) -> None:
        self._call("addProcessGroup", name, tolerate={ALREADY_ADDED})

    def remove_group(self, name: str) -> bool:
        """False while some program of the group still runs."""
        try:
            self._call("removeProcessGroup", name, tolerate={BAD_NAME})
        except ServiceError as error:
            fault = error.__cause__
            if isinstance(fault, xmlrpc.client.Fault) and fault.faultCode == STILL_RUNNING:
                return False
            raise
        return True

    def close(self) -> None:
        self._transport.close()

    def _call(self, method: str, *arguments: Any, tolerate: Set[int] = frozenset()) -> Any:
        try:
            return getattr(self._proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in tolerate:
                return None
            raise ServiceError(_explain(fault, arguments)) from fault
        except (ConnectionError, FileNotFoundError, http.client.HTTPException) as error:
            self._transport.close()
            raise SupervisorNotRunning from error
        except TimeoutError as error:
            self._transport.close()
            raise SupervisorSilent from error


@contextmanager
def connected(socket_path: Path, *, seconds: float | None = None) -> Iterator[Supervisor]:
    supervisor = Supervisor(socket_path, seconds=seconds)
    try:
        yield supervisor
    finally:
        supervisor.close()


def _status(info: dict[str, Any]) -> ProgramStatus:
    runs = info["statename"] in {"RUNNING", "STARTING", "STOPPING"}
    return ProgramStatus(
        name=f"{info['group']}:{info['name']}",
        state=info["statename"],
        pid=info["pid"] or None,
        uptime_seconds=round(max(0.0, time.time() - info["start"]), 1) if runs else None,
        detail=info.get("spawnerr") or "",
        started=int(info["start"]),
    )


def _explain(fault: xmlrpc.client.Fault, arguments: tuple[Any, ...]) -> str:
    if fault.faultCode == BAD_NAME:
        return f"there is no program {arguments[0]}; kos ctl status lists them"
    return f"supervisord refused: {fault.faultString}"
