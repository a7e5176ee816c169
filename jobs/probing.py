"""Canaries: one token through an open breaker proves that generation lives; HTTP does not."""

from __future__ import annotations

import logging

from jobs.breakers import split
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
        canary_model = model or _smallest_model(runtime, backend)
        runtime.backends.get(backend).canary(canary_model)
    except LLMError as error:
        logger.info("canary_failed key=%s error=%s", key, error)
        runtime.breakers.probe_failed(key, error)
        if model is not None:
            runtime.scanner.set_aside(backend, model, f"its canary failed: {error}")
        return False
    runtime.breakers.probe_succeeded(key)
    return True


def _smallest_model(runtime: Runtime, backend: str) -> str:
    """The model to try: a resident one, else the first for fast work."""
    server = runtime.scanner.scan(refresh=True).server(backend)
    if server is None or not server.reachable:
        raise LLMError(server.error if server and server.error else "not scanned", backend=backend)
    usable = {model.name for model in server.models or () if model.broken is None}
    for resident in server.resident:
        if resident.name in usable:
            return resident.name
    picked = server.pick(Category.FAST)
    if picked is None:
        raise LLMError("has no usable model", backend=backend)
    return picked.name
