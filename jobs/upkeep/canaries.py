"""Canaries: one token through an open breaker proves that generation lives; HTTP does not."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from jobs.admission.breakers import split
from jobs.runtime import Runtime
from llm.errors import LLMError
from llm.types import Category

logger = logging.getLogger(__name__)


def probe_due(runtime: Runtime) -> bool:
    """Try every breaker whose canary is due; True when one closed."""
    closed = False
    for key in runtime.breakers.due_probes():
        closed = _probe(runtime, key) or closed
    return closed


def _probe(runtime: Runtime, key: str) -> bool:
    backend, model = split(key)
    runtime.breakers.probe_started(key)
    try:
        tried = _named(runtime, backend, model) if model else _smallest(runtime, backend)
        runtime.backends.get(backend).canary(tried.name, num_ctx=tried.context_tokens)
    except LLMError as error:
        logger.info("canary_failed key=%s error=%s", key, error)
        runtime.breakers.probe_failed(key, error)
        if model is not None:
            runtime.scanner.set_aside(backend, model, f"its canary failed: {error}")
        return False
    runtime.breakers.probe_succeeded(key)
    return True


@dataclass(frozen=True, slots=True)
class _Tried:
    """``context_tokens`` of a model in memory: with another context it would be loaded anew."""

    name: str
    context_tokens: int | None = None


def _named(runtime: Runtime, backend: str, model: str) -> _Tried:
    for resident in runtime.scanner.residents(backend):
        if resident.name == model:
            return _Tried(model, resident.context_tokens)
    return _Tried(model)


def _smallest(runtime: Runtime, backend: str) -> _Tried:
    """The model to try: a resident one, else the first for fast work."""
    server = runtime.scanner.scan(refresh=True).server(backend)
    if server is None or not server.reachable:
        raise LLMError(server.error if server and server.error else "not scanned", backend=backend)
    usable = {model.name for model in server.models or () if model.broken is None}
    for resident in server.resident:
        if resident.name in usable:
            return _Tried(resident.name, resident.context_tokens)
    picked = server.pick(Category.FAST)
    if picked is None:
        raise LLMError("has no usable model", backend=backend)
    return _Tried(picked.name)
