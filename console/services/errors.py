"""What can go wrong on the way to a running service, with its remedy."""

from __future__ import annotations


class ServiceError(Exception):
    """A service or program cannot be prepared, started or stopped. The message says what to do."""
