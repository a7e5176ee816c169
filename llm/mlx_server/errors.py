"""Why the server refuses a request, with the HTTP status.

::

    ServerError
    ├── InvalidRequest   400  the request is invalid; ``field`` names the field
    ├── Forbidden        403  the request comes from a web page of another site
    ├── NoSuchModel      404
    ├── BodyTooLarge     413
    ├── GenerationFailed 500  the batch of the request broke
    ├── NeverFits        500  no memory for it here, however long the caller waits
    └── Unavailable      503  try again after ``retry_after_seconds``
"""

from __future__ import annotations


class ServerError(Exception):
    """Root. ``status`` is the HTTP status; the text is shown to the caller."""

    status = 500
    kind = "server_error"

    def __init__(self, message: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class InvalidRequest(ServerError):
    status = 400
    kind = "invalid_request_error"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


class Forbidden(ServerError):
    status = 403
    kind = "permission_error"


class NoSuchModel(ServerError):
    status = 404
    kind = "not_found_error"

    def __init__(self, name: str) -> None:
        super().__init__(f"model {name!r} not found in the models folder")


class BodyTooSlow(ServerError):
    """The body did not arrive completely in time."""

    status = 408
    kind = "invalid_request_error"


class BodyTooLarge(ServerError):
    status = 413
    kind = "invalid_request_error"


class GenerationFailed(ServerError):
    pass


class NeverFits(ServerError):
    """The text begins like that of a failed load, so that clients blame the model and not the
    server."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"failed to load: {reason}")


class Unavailable(ServerError):
    status = 503
    kind = "overloaded_error"
