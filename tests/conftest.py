"""Fixtures that every layer of tests may use."""

from __future__ import annotations

pytest_plugins = ["tests.support.embedded", "tests.support.system"]
