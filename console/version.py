"""The version of this installation; setup.cfg is the one place where it is written."""

from __future__ import annotations

from importlib import metadata

from jobs.process.extras import DISTRIBUTION


def version() -> str | None:
    """None where the code was not installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return None
