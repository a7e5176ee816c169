"""A client on a real dashboard, with real workers behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kos_client import Client
from tests.integration.web.dashboards import Dashboard, running_dashboard
from tests.support.system import System


@pytest.fixture
def dashboard(system: System) -> Iterator[Dashboard]:
    with running_dashboard(system.environ, system.directory) as running:
        yield running


@pytest.fixture
def client(dashboard: Dashboard) -> Iterator[Client]:
    with Client(dashboard.url) as opened:
        yield opened
