"""Sends canaries through open breakers: one generated token proves that a model works; HTTP does
not."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from jobs.admission.breakers import Breakers, split
from jobs.admission.limits import Limits, canary_slot
from jobs.admission.slots import Slots
from llm.backends.registry import Backends
from llm.errors import LLMError
from llm.scanner import Scanner
from llm.types import Category

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Target:
    """The model to call. ``context_tokens`` is the context it was loaded with: another one would
    reload it."""

    name: str
    context_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Canaries:
    """Probes the open breakers, each within the limits of its server."""

    backends: Backends
    breakers: Breakers
    scanner: Scanner
    slots: Slots
    limits: Limits

    def probe_due(self) -> bool:
        """Probe every breaker whose canary is due; True when one closed."""
        closed = False
        for key in self.breakers.due_probes():
            closed = self._probe(key) or closed
        return closed

    def _probe(self, key: str) -> bool:
        backend, model = split(key)
        heavy = model is not None and self.scanner.is_heavy(backend, model)
        with canary_slot(self.slots, self.limits, backend, model=model or "", heavy=heavy) as held:
            if not held:
                return False  # A running task may close it; otherwise the next round tries again.
            self.breakers.probe_started(key)
            return self._generates(key, backend, model)

    def _generates(self, key: str, backend: str, model: str | None) -> bool:
        try:
            target = self._named(backend, model) if model else self._smallest(backend)
            self.backends.get(backend).canary(target.name, num_ctx=target.context_tokens)
        except LLMError as error:
            logger.info("canary_failed key=%s error=%s", key, error)
            self.breakers.probe_failed(key, error)
            if model is not None:
                self.scanner.quarantine(backend, model, f"its canary failed: {error}")
            return False
        self.breakers.probe_succeeded(key)
        return True

    def _named(self, backend: str, model: str) -> _Target:
        for resident in self.scanner.residents(backend):
            if resident.name == model:
                return _Target(model, resident.context_tokens)
        return _Target(model)

    def _smallest(self, backend: str) -> _Target:
        """A resident model, else the first one for fast work."""
        server = self.scanner.scan(refresh=True).server(backend)
        if server is None or not server.reachable:
            reason = server.error if server and server.error else "not scanned"
            raise LLMError(reason, backend=backend)
        usable = {model.name for model in server.models or () if model.broken is None}
        for resident in server.resident:
            if resident.name in usable:
                return _Target(resident.name, resident.context_tokens)
        picked = server.pick(Category.FAST)
        if picked is None:
            raise LLMError("has no usable model", backend=backend)
        return _Target(picked.name)
