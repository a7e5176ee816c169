"""Dashboards on a fresh, migrated database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.web.dashboards import Dashboard, running_dashboard
from tests.support.system import System

TOKEN = "a-token-for-tests"


@pytest.fixture
def dashboard(system: System) -> Iterator[Dashboard]:
    with running_dashboard(system.environ, system.directory) as running:
        yield running


@pytest.fixture
def guarded(system: System) -> Iterator[Dashboard]:
    """One that wants a token."""
    environ = {**system.environ, "KOS_DASHBOARD_TOKEN": TOKEN}
    with running_dashboard(environ, system.directory) as running:
        yield running
