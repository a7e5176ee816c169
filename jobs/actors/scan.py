"""The actors that look at the model servers: scan, and the canaries of open breakers."""

from __future__ import annotations

import logging

import dramatiq

from jobs.actors.common import register
from jobs.admission.residency import Residency
from jobs.queues.control_requests import SERVERS_CHANGED, ControlRequests
from jobs.queues.names import MAINTENANCE_QUEUE
from jobs.upkeep.canaries import Canaries
from llm.scanner import Scanner
from llm.types import Scan

logger = logging.getLogger(__name__)


def add(
    broker: dramatiq.Broker,
    *,
    scanner: Scanner,
    residency: Residency,
    canaries: Canaries,
    requests: ControlRequests,
) -> None:
    def scan(reason: str = "cron") -> None:
        """Refresh the scan; request a plan where other servers or models answer than before."""
        before = _served(scanner.scan())
        found = scanner.scan(refresh=True)
        for server in found.servers:
            if server.reachable:
                residency.publish(server.backend, server.resident)
            else:
                residency.withdraw(server.backend)
        if (served := _served(found)) != before:
            models = {name: len(usable) for name, usable in served.items()}
            logger.info("scan_changed reason=%s models=%s", reason, models)
            requests.plan(SERVERS_CHANGED)

    def probe() -> None:
        """Send one token through every open breaker whose canary is due."""
        if canaries.probe_due():
            requests.plan(SERVERS_CHANGED)

    register(broker, requests, "scan", MAINTENANCE_QUEUE, scan)
    register(broker, requests, "probe", MAINTENANCE_QUEUE, probe)


def _served(scan: Scan) -> dict[str, set[str]]:
    """The usable models of each server that answers."""
    return {
        server.backend: {model.name for model in server.usable}
        for server in scan.servers
        if server.reachable
    }
