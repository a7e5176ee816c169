"""The actors that look at the model servers: scan, and the canaries of open breakers."""

from __future__ import annotations

import logging

import dramatiq

from jobs.actors.common import register
from jobs.admission.residency import Residency
from jobs.queues.control_requests import ControlRequests
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
        """Refresh the scan; request a plan where other servers answer than before."""
        before = _reachable(scanner.scan())
        found = scanner.scan(refresh=True)
        for server in found.servers:
            if server.reachable:
                residency.publish(server.backend, server.resident)
            else:
                residency.withdraw(server.backend)
        if _reachable(found) != before:
            logger.info("scan_changed reason=%s reachable=%s", reason, sorted(_reachable(found)))
            requests.plan("health")

    def probe() -> None:
        """Send one token through every open breaker whose canary is due."""
        if canaries.probe_due():
            requests.plan("health")

    register(broker, requests, "scan", MAINTENANCE_QUEUE, scan)
    register(broker, requests, "probe", MAINTENANCE_QUEUE, probe)


def _reachable(scan: Scan) -> set[str]:
    return {server.backend for server in scan.servers if server.reachable}
