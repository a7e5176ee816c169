"""A real browser on a running system. Every page is watched: an error in its console, or a
request to another host, fails the test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

from models import database
from tests.integration.web.dashboards import Dashboard, running_dashboard
from tests.support.browsers import find_browser
from tests.support.ports import own_ports
from tests.support.system import System, running_system

ARTIFACTS = Path(__file__).resolve().parents[2] / "artifacts" / "browser"
AXE = (Path(__file__).with_name("axe.min.js")).read_text(encoding="utf-8")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--disable-default-apps", "--no-first-run",
    "--disable-features=Translate,MediaRouter,OptimizationHints", "--disable-dev-shm-usage",
]  # fmt: skip
SERIOUS = {"serious", "critical"}
TOKEN = "a-token-for-tests"


@dataclass
class Watched:
    """A page with what went wrong on it."""

    page: Page
    dashboard: Dashboard
    problems: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.dashboard.url}{path}", wait_until="load")
        return self.page

    def picture(self, name: str) -> None:
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(ARTIFACTS / f"{name}.png"), full_page=True)

    def serious_issues(self) -> list[str]:
        """What axe-core finds; injected past the page's own policy."""
        self.page.evaluate(AXE)
        found: list[dict[str, Any]] = self.page.evaluate("axe.run().then(r => r.violations)")
        return [
            f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']][:5]}"
            for one in found
            if one["impact"] in SERIOUS
        ]

    def check(self) -> None:
        left = [text for text in self.problems if not any(word in text for word in self.expected)]
        assert left == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Gone with its module: Playwright holds the thread's event loop while it runs."""
    program = find_browser()
    assert program, "there is no Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, headless=True, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def system(migrated_url: str, redis_url: str, tmp_path: Path) -> Iterator[System]:
    """Slow enough that a page finds it at work."""
    ports = {**own_ports(), "KOS_HEALTH_INTERVAL_SECONDS": "1"}
    with running_system(migrated_url, redis_url, tmp_path, time_scale=30.0, **ports) as running:
        yield running
    database.close_all()


@pytest.fixture
def dashboard(system: System) -> Iterator[Dashboard]:
    with running_dashboard(system.environ, system.directory) as running:
        yield running


@pytest.fixture
def guarded(system: System) -> Iterator[Dashboard]:
    environ = {**system.environ, "KOS_DASHBOARD_TOKEN": TOKEN}
    with running_dashboard(environ, system.directory) as running:
        yield running


@pytest.fixture
def watched(browser: Browser, dashboard: Dashboard) -> Iterator[Watched]:
    yield from _watch(browser, dashboard)


@pytest.fixture
def watched_guarded(browser: Browser, guarded: Dashboard) -> Iterator[Watched]:
    yield from _watch(browser, guarded)


def _watch(browser: Browser, dashboard: Dashboard) -> Iterator[Watched]:
    context = browser.new_context(locale="en-GB", viewport={"width": 1360, "height": 900})
    context.set_default_timeout(60_000)
    watched = Watched(context.new_page(), dashboard)
    _listen(context, watched)
    yield watched
    context.close()
    watched.check()


def _listen(context: BrowserContext, watched: Watched) -> None:
    own = urlsplit(watched.dashboard.url).netloc

    def requested(request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.netloc != own:
            watched.problems.append(f"a request to another host: {request.url}")

    context.on("request", requested)
    context.on(
        "console",
        lambda message: (
            watched.problems.append(f"console: {message.text}")
            if message.type in {"error", "warning"}
            else None
        ),
    )
    context.on("weberror", lambda error: watched.problems.append(f"script: {error.error}"))
