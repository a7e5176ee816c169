"""The control endpoint `/_sim/...`: set faults, read the activity, reset."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import parse_qs

from llm.simulator.activity import Activity
from llm.simulator.calls import CallError
from llm.simulator.engine import SimulatedEngine
from llm.simulator.faults import FaultBook, FaultError
from llm.simulator.http_connection import HttpExchange
from llm.simulator.http_request import HttpRequest
from llm.simulator.listening_socket import Listener
from llm.wire.values import dump

_JOURNAL_ENTRIES = 200


class Subject(Protocol):
    """The simulator, as the control endpoint uses it."""

    engine: SimulatedEngine
    faults: FaultBook
    activity: Activity

    def describe(self) -> dict[str, Any]:
        """Kind, time scale and profile as JSON values."""

    def start_over(self) -> None:
        """Reset to the state after the start."""


class Control:
    """Routes under `/_sim/`."""

    def __init__(self, subject: Subject, *, listener: Listener) -> None:
        self._subject = subject
        self._listener = listener
        self._routes: dict[tuple[str, str], Callable[[HttpExchange], Awaitable[None]]] = {
            ("GET", "/_sim/profile"): self._profile,
            ("GET", "/_sim/stats"): self._stats,
            ("POST", "/_sim/reset"): self._reset,
            ("GET", "/_sim/faults"): self._list_faults,
            ("POST", "/_sim/faults"): self._add_fault,
            ("DELETE", "/_sim/faults"): self._remove_faults,
        }

    def route(self, request: HttpRequest) -> Callable[[HttpExchange], Awaitable[None]] | None:
        """The handler of a control request, or None for any other."""
        return self._routes.get((request.method, request.path))

    async def _profile(self, exchange: HttpExchange) -> None:
        exchange.respond(200, dump(self._subject.describe()))

    async def _stats(self, exchange: HttpExchange) -> None:
        entries = _number(exchange.request, "journal", default=_JOURNAL_ENTRIES)
        body = self._subject.activity.snapshot(journal=entries)
        engine = self._subject.engine
        body["resident"] = [one.model.name for one in engine.residents if not one.is_loading]
        body["loading"] = [one.model.name for one in engine.residents if one.is_loading]
        body["waiting"] = engine.waiting
        exchange.respond(200, dump(body))

    async def _reset(self, exchange: HttpExchange) -> None:
        self._subject.start_over()
        exchange.respond(200, dump({"status": "reset"}))

    async def _list_faults(self, exchange: HttpExchange) -> None:
        rules = [rule.as_json() for rule in self._subject.faults.rules]
        exchange.respond(200, dump({"faults": rules}))

    async def _add_fault(self, exchange: HttpExchange) -> None:
        try:
            rule = self._subject.faults.add(json.loads(exchange.request.body))
        except FaultError as error:
            raise CallError(400, str(error)) from error
        except ValueError as error:
            raise CallError(400, f"not JSON: {error}") from error
        if rule.fault.name == "refuse":
            exchange.request.keep_alive = False
            self._listener.refuse(rule.fault.seconds, spare=exchange.connection)
        exchange.respond(200, dump(rule.as_json()))

    async def _remove_faults(self, exchange: HttpExchange) -> None:
        number = _number(exchange.request, "number", default=0)
        if not number:
            self._subject.faults.clear()
        elif not self._subject.faults.remove(number):
            raise CallError(404, f"number: there is no fault {number}")
        exchange.respond(200, dump({"status": "removed"}))


def _number(request: HttpRequest, name: str, *, default: int) -> int:
    values: Any = parse_qs(request.query).get(name)
    if not values:
        return default
    if not values[0].isdigit():
        raise CallError(400, f"{name}: must be a whole number")
    return int(values[0])
