"""The one error of this package."""

from __future__ import annotations


class ModelFileError(Exception):
    """A model file cannot be used. The message gives the reason and, where possible, the remedy."""
