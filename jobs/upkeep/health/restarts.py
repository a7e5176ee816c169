"""When a hung program may be restarted: with back-off and a limit."""

from __future__ import annotations

import http.client
import logging
import xmlrpc.client
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from jobs.process.supervisor import UnixTransport

logger = logging.getLogger(__name__)

WINDOW = timedelta(minutes=10)
MOST_IN_WINDOW = 4
FIRST_PAUSE = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Decision:
    allowed: bool
    reason: str


def may_restart(earlier: Sequence[datetime], now: datetime) -> Decision:
    """Pure. Each restart within ten minutes doubles the pause; the fifth waits for a person."""
    recent = [at for at in earlier if now - at < WINDOW]
    if len(recent) >= MOST_IN_WINDOW:
        return Decision(False, f"restarted {len(recent)} times in 10 minutes: left for a person")
    if recent:
        pause = FIRST_PAUSE * 2 ** (len(recent) - 1)
        if now - recent[-1] < pause:
            return Decision(False, f"restarted {(now - recent[-1]).total_seconds():.0f} s ago")
    return Decision(True, f"restart {len(recent) + 1} of {MOST_IN_WINDOW} in 10 minutes")


@dataclass(slots=True)
class Restarter:
    """Restarts programs through supervisor's XML-RPC, and reports what it did."""

    socket: Path | None
    done: dict[str, list[datetime]] = field(default_factory=dict)

    def restart(self, program: str, why: str, now: datetime) -> str:
        """Restart ``program`` if it may be; returns what was done, as text."""
        decision = may_restart(self.done.get(program, []), now)
        if not decision.allowed:
            logger.error("not_restarted program=%s why=%s: %s", program, why, decision.reason)
            return decision.reason
        self.done.setdefault(program, []).append(now)
        logger.warning("restarting program=%s why=%s (%s)", program, why, decision.reason)
        try:
            self._through_supervisor(program)
        except (OSError, xmlrpc.client.Error, http.client.HTTPException) as error:
            logger.warning("restart_failed program=%s error=%s", program, error)
            return f"could not be restarted: {error}"
        return f"restarted: {why}"

    def start_fatal(self, now: datetime) -> list[str]:
        """Restart programs that supervisor gave up on, within the same bounds."""
        try:
            states = self._proxy().supervisor.getAllProcessInfo()
        except (OSError, xmlrpc.client.Error, http.client.HTTPException) as error:
            logger.warning("supervisor_not_asked error=%s", error)
            return []
        assert isinstance(states, list)
        fatal = [f"{one['group']}:{one['name']}" for one in states if one["statename"] == "FATAL"]
        return [f"{name}: {self.restart(name, 'FATAL', now)}" for name in fatal]

    def _through_supervisor(self, program: str) -> None:
        proxy = self._proxy()
        info = proxy.supervisor.getProcessInfo(program)
        assert isinstance(info, dict)
        if info["statename"] in ("RUNNING", "STARTING"):
            # A hung program ignores TERM. Its leases expire, and recovery returns its rows.
            proxy.supervisor.signalProcess(program, "KILL")
            return
        proxy.supervisor.startProcess(program, False)

    def _proxy(self) -> xmlrpc.client.ServerProxy:
        if self.socket is None:
            raise OSError("no supervisor socket is known: this program was not started by kos up")
        transport = UnixTransport(self.socket)
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
