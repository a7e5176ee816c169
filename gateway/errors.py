"""What a caller is answered when its request cannot be served.

GatewayError
├── BadCall          400  the body is wrong, or no server can do what it asks
├── CutOff           408  the body does not come, or is too large (413): the connection ends
├── Unpacked         415  the body is compressed
├── UnknownModel     404  no server has the model; near matches are named
├── NotServed        404  no such path or method here (405)
├── NoCapacity       429  too many wait, or the wait was too long
├── NoServer         502  every server that could serve it failed before the first byte
└── Away             503  Postgres or Redis does not answer, or the tables are missing
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis

from models.database import RUN_MIGRATIONS, DatabaseUnavailable, lacks_tables

AWAY_SECONDS = 5
FAULT = "a fault of the gateway; its log tells more"


class GatewayError(Exception):
    """``status`` is the HTTP status; ``retry_after_seconds`` becomes ``Retry-After``."""

    status = 500
    kind = "server_error"

    def __init__(self, message: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds

    def body(self, *, ollama: bool) -> Mapping[str, Any]:
        """The error as the caller's API words it."""
        if ollama:
            return {"error": str(self)}
        return {"error": {"message": str(self), "type": self.kind, "param": None, "code": None}}

    @property
    def headers(self) -> dict[str, str]:
        seconds = self.retry_after_seconds
        return {} if seconds is None else {"retry-after": str(seconds)}


class BadCall(GatewayError):
    status = 400
    kind = "invalid_request_error"


class CutOff(BadCall):
    """``status`` is 408 for a body that comes too slowly, 413 for one that is too large. What is
    left of it is not read."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status

    @property
    def headers(self) -> dict[str, str]:
        return {"connection": "close"}


class Unpacked(BadCall):
    status = 415


class NotServed(GatewayError):
    status = 404
    kind = "invalid_request_error"


class UnknownModel(GatewayError):
    status = 404
    kind = "invalid_request_error"


class NoCapacity(GatewayError):
    status = 429
    kind = "rate_limit_error"


class NoServer(GatewayError):
    status = 502
    kind = "server_error"


class Away(GatewayError):
    """Redis or Postgres cannot be used now. ``cause`` is a RedisError, DatabaseUnavailable, or the
    error of a table that does not exist."""

    status = 503

    def __init__(self, cause: Exception) -> None:
        service = "queue (Redis)" if isinstance(cause, redis.RedisError) else "database (Postgres)"
        away = f"the {service} does not answer; try again soon"
        super().__init__(
            RUN_MIGRATIONS if lacks_tables(cause) else away, retry_after_seconds=AWAY_SECONDS
        )


def is_away(error: Exception) -> bool:
    """Whether a service cannot be used now, so that the same request may succeed later."""
    return isinstance(error, DatabaseUnavailable | redis.RedisError) or lacks_tables(error)


def answer_to(error: Exception) -> GatewayError:
    """What the caller is told of an error that is not one of these classes."""
    return Away(error) if is_away(error) else GatewayError(FAULT)
