"""The models of the servers, to check a submitted task that names one."""

from __future__ import annotations

from collections.abc import Mapping

import redis

from console.operations.connections import Connections
from console.operations.errors import ServiceUnreachable, near
from jobs.runtime import model_servers

Known = Mapping[str, tuple[str, ...] | None]
DEFAULT_TAG = ":latest"


def known_models(connections: Connections) -> Known:
    """Model names by server, None for one that does not answer; the scan that all share.

    Without Redis nothing is known: a task can be submitted all the same.
    """
    try:
        servers, scanner = model_servers(connections.settings, connections.redis)
    except ServiceUnreachable:
        return {}
    try:
        scan = scanner.scan()
    except redis.RedisError:
        return {}
    finally:
        servers.close()
    return {
        server.backend: None if server.models is None else tuple(m.name for m in server.models)
        for server in scan.servers
    }


def unknown_model(model: str, backend: str | None, known: Known) -> str | None:
    """The error for ``model``; None if a server has it or cannot be asked. Pure."""
    lists = [names for name, names in known.items() if backend is None or name == backend]
    if not lists or None in lists:
        return None
    names = {name for found in lists for name in found or ()}
    if model in names or model + DEFAULT_TAG in names:
        return None
    where = backend or "any server"
    return f"model: {model!r} is not on {where}; {near(model, names)}"
