"""Sends canaries through open breakers: one generated token proves that a model works; HTTP does
not."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from jobs.admission.breakers import Breakers, split
from jobs.admission.limits import Limits, canary_slot
from jobs.admission.slots import Slots
from llm.backends.registry import Backends
from llm.breaker import CLOSED
from llm.errors import BackendUnreachable, CallTimeout, LLMError, NotAuthorized, Overloaded
from llm.scanner import Scanner
from llm.types import Category

logger = logging.getLogger(__name__)

SAMPLES = 3
"""Models that one probe of a server tries at most."""


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
            targets = [self._named(backend, model)] if model else self._samples(backend)
            failed = self._failed_before_an_answer(backend, targets)
        except LLMError as error:
            logger.info("canary_failed key=%s error=%s", key, error)
            self.breakers.probe_failed(key, error)
            if model is not None:
                self.scanner.quarantine(backend, model, f"its canary failed: {error}")
            return False
        for name, reason in failed.items():
            self.scanner.quarantine(backend, name, f"its canary failed: {reason}")
        self.breakers.probe_succeeded(key)
        return True

    def _failed_before_an_answer(self, backend: str, targets: list[_Target]) -> dict[str, LLMError]:
        """The models that failed until one answered. Raises LLMError if none did."""
        failed: dict[str, LLMError] = {}
        for target in targets:
            try:
                self.backends.get(backend).canary(target.name, num_ctx=target.context_tokens)
                break
            except LLMError as error:
                if target is targets[-1] or not _is_of_one_model(error):
                    raise
                failed[target.name] = error
        return failed

    def _named(self, backend: str, model: str) -> _Target:
        for resident in self.scanner.residents(backend):
            if resident.name == model:
                return _Target(model, resident.context_tokens)
        return _Target(model)

    def _samples(self, backend: str) -> list[_Target]:
        """Some models, others at each probe: one model that fails must not close the server to the
        rest. First a resident model, then the first one for fast work; heavy ones only where there
        is nothing else."""
        server = self.scanner.scan(refresh=True).server(backend)
        if server is None or not server.reachable:
            reason = server.error if server and server.error else "not scanned"
            raise LLMError(reason, backend=backend)
        usable = {model.name: model for model in server.usable}
        picked = server.pick(Category.FAST)
        if picked is None:
            raise LLMError("has no usable model", backend=backend)
        resident = [_Target(one.name, one.context_tokens) for one in server.resident]
        light = [_Target(name) for name, model in usable.items() if not model.heavy]
        named: dict[str, _Target] = {}
        for one in (*resident, _Target(picked.name), *light):
            named.setdefault(one.name, one)
        ordered = [one for one in named.values() if one.name in usable]
        trips = self.breakers.states().get(backend, CLOSED).trips
        first = SAMPLES * max(0, trips - 1) % len(ordered)
        return (ordered[first:] + ordered[:first])[:SAMPLES]


def _is_of_one_model(error: LLMError) -> bool:
    """Whether another model of the server may answer: it took the request and failed at it."""
    return not isinstance(error, BackendUnreachable | CallTimeout | NotAuthorized | Overloaded)
