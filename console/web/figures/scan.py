"""The last scan of the model servers, shared by all processes; this module only reads it."""

from __future__ import annotations

from typing import Any

import redis

from console.operations import backends
from jobs.queues.names import SCAN
from jobs.settings.load import Settings
from llm.scan_cache import CachedScan
from llm.types import Scan, ServerScan


def last(client: redis.Redis) -> Scan | None:
    """None without a recent scan."""
    text: Any = client.get(SCAN)
    if text is None:
        return None
    found = CachedScan.loads(text.decode() if isinstance(text, bytes) else text)
    return found.scan if found else None


def sizes(server: ServerScan | None) -> dict[str, int]:
    """Bytes of memory by model if the server reports them, else the size of its files."""
    if server is None:
        return {}
    listed = {model.name: model.info.size_bytes for model in server.models or ()}
    held = {model.name: model.size_bytes for model in server.resident}
    return {name: size for name, size in {**listed, **held}.items() if size}


def model_names(settings: Settings, client: redis.Redis) -> list[str]:
    """Every usable model of every server, without repetition; scans the servers if no scan is
    known."""
    found = last(client)
    if found is None:
        rows = backends.overview(settings, client)
        return list(dict.fromkeys(name for row in rows for name in row.models))
    named = [model.name for server in found.servers for model in server.usable]
    return list(dict.fromkeys(named))
