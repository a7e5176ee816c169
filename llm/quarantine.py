"""Models excluded from selection for a while, each with the reason."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from llm.types import Scan, ScannedModel, ServerScan


@dataclass(frozen=True, slots=True)
class QuarantinedModel:
    backend: str
    model: str
    reason: str
    until: datetime


@dataclass(frozen=True, slots=True)
class QuarantinedModels:
    items: tuple[QuarantinedModel, ...] = ()

    def adding(
        self, backend: str, model: str, reason: str, *, until: datetime
    ) -> QuarantinedModels:
        others = tuple(
            item for item in self.items if (item.backend, item.model) != (backend, model)
        )
        return QuarantinedModels((*others, QuarantinedModel(backend, model, reason, until)))

    def lasting(self, now: datetime) -> QuarantinedModels:
        """The entries that have not expired."""
        return QuarantinedModels(tuple(item for item in self.items if item.until > now))

    def applied(self, scan: Scan) -> Scan:
        """The scan with these models marked broken."""
        reasons = {(item.backend, item.model): item.reason for item in self.items}
        if not reasons:
            return scan
        return replace(scan, servers=tuple(_marked(server, reasons) for server in scan.servers))


def _marked(server: ServerScan, reasons: dict[tuple[str, str], str]) -> ServerScan:
    if server.models is None:
        return server

    def mark(model: ScannedModel) -> ScannedModel:
        reason = reasons.get((server.backend, model.name))
        return model if reason is None else replace(model, broken=reason)

    return replace(server, models=tuple(mark(model) for model in server.models))
