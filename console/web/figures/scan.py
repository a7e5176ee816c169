"""The last scan of the model servers, as every process shares it: read, never asked anew."""

from __future__ import annotations

import logging
from typing import Any

import redis

from jobs.names import SCAN
from llm.scan_json import loads
from llm.types import Scan, ServerScan

logger = logging.getLogger(__name__)


def last(client: redis.Redis) -> Scan | None:
    """None where nobody looked lately."""
    text: Any = client.get(SCAN)
    if text is None:
        return None
    try:
        return loads(text.decode() if isinstance(text, bytes) else text)
    except ValueError as error:
        logger.warning("scan_unreadable error=%s", error)
        return None


def sizes(server: ServerScan | None) -> dict[str, int]:
    """Bytes of memory by model, where the server told; else the size of the model's files."""
    if server is None:
        return {}
    listed = {model.name: model.info.size_bytes for model in server.models or ()}
    held = {model.name: model.size_bytes for model in server.resident}
    return {name: size for name, size in {**listed, **held}.items() if size}


def model_names(scan: Scan | None) -> list[str]:
    """Every usable model of every server, each once."""
    servers = scan.servers if scan else ()
    names = [m.name for server in servers for m in server.models or () if m.broken is None]
    return list(dict.fromkeys(names))
