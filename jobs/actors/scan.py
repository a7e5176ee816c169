"""The actors that look at the model servers: scan, and the canaries of open breakers."""

from __future__ import annotations

import logging

import dramatiq

from jobs.actors.common import register
from jobs.parts import Parts
from jobs.queues.names import MAINTENANCE_QUEUE
from jobs.upkeep.canaries import probe_due
from llm.types import Scan

logger = logging.getLogger(__name__)


def add(broker: dramatiq.Broker, parts: Parts) -> None:
    def scan(reason: str = "cron") -> None:
        """Refresh the scan; a change of what is there asks for a plan."""
        before = _reachable(parts.runtime.scanner.scan())
        found = parts.runtime.scanner.scan(refresh=True)
        for server in found.servers:
            if server.reachable:
                parts.residency.publish(server.backend, server.resident)
        if _reachable(found) != before:
            logger.info("scan_changed reason=%s reachable=%s", reason, sorted(_reachable(found)))
            parts.runtime.wakes.plan("health")

    def probe() -> None:
        """Send one token through every open breaker whose time has come."""
        if probe_due(parts.runtime):
            parts.runtime.wakes.plan("health")

    register(broker, parts, "scan", MAINTENANCE_QUEUE, scan)
    register(broker, parts, "probe", MAINTENANCE_QUEUE, probe)


def _reachable(scan: Scan) -> set[str]:
    return {server.backend for server in scan.servers if server.reachable}
