"""Pictures of the first screen in five prepared states, for a reader who has never seen it.

``python -m tests.browser.states DIRECTORY [STATE ...]`` writes ``state-NAME.png`` there; the reader
says of each whether it works, what runs, what is wrong, how long it lasts and what to do.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from models import database
from tests.integration.web.dashboards import running_dashboard
from tests.support.browsers import find_browser
from tests.support.embedded import postgres_server, redis_server
from tests.support.ports import own_ports
from tests.support.system import System, running_system

WAIT_MILLISECONDS = 240_000

TOPICS = ("leases", "queues", "back-off", "streams", "indexes", "locks", "retries", "caches")
PROGRAMS = ("control", "llm-ollama", "llm-mlx", "listener", "scheduler", "health_checker")


@dataclass(frozen=True, slots=True)
class State:
    """``prepare`` brings a system there that has just been migrated; ``level`` is that of the
    verdict, and ``says`` what the page says of it."""

    prepare: Callable[[System], None]
    level: str
    says: str


def submit(system: System, count: int) -> None:
    system.sql(
        "INSERT INTO tasks (title, description, priority, category) SELECT "
        "'Summarise ' || (%(topics)s::text[])[1 + mod(n, 8)] || ', part ' || n, "
        "'Summarise in five sentences what is known about part ' || n || ' of ' || "
        "(%(topics)s::text[])[1 + mod(n, 8)], "
        "(ARRAY['low','medium','high','urgent'])[1 + mod(n, 4)], "
        "(ARRAY['fast','coding','reasoning'])[1 + mod(n, 3)] FROM generate_series(1, %(n)s) AS n",
        {"topics": list(TOPICS), "n": count},
    )


def _started(system: System) -> None:
    (system.directory / "home").mkdir(exist_ok=True)
    system.start(*PROGRAMS)


def _idle(system: System) -> None:
    _started(system)
    submit(system, 12)
    system.wait(lambda: system.counts() == {"completed": 12}, deadline_seconds=180, what="all done")


def _busy(system: System) -> None:
    _started(system)
    submit(system, 500)
    at_work(system)


def _down(system: System) -> None:
    _busy(system)
    os.kill(system.mlx.pid, signal.SIGKILL)
    system.wait(
        lambda: _count(system, "queued in_progress", "mlx") == 0,
        deadline_seconds=120,
        what="mlx given up",
    )


def _stuck(system: System) -> None:
    _busy(system)
    system.kill("control", with_signal=signal.SIGSTOP)


def _failing(system: System) -> None:
    _started(system)
    system.ollama.fault("echo", match="leases")
    system.mlx.fault("echo", match="leases")
    submit(system, 160)
    system.wait(lambda: system.counts().get("failed", 0) > 5, deadline_seconds=180, what="failures")


def _count(system: System, states: str, backend: str) -> int:
    rows = system.sql(
        "SELECT count(*) AS n FROM tasks WHERE status = ANY(%s) AND backend = %s",
        (states.split(), backend),
    )
    return int(rows[0]["n"])


def at_work(system: System) -> None:
    """Long enough on both servers that their times are known."""

    def working() -> bool:
        done = min(_count(system, "completed", name) for name in ("ollama", "mlx"))
        return done >= 30 and system.counts().get("in_progress", 0) > 1

    system.wait(working, deadline_seconds=300, what="work")


STATES: Mapping[str, State] = {
    "idle": State(_idle, "ok", "nothing waits"),
    "busy": State(_busy, "busy", "done about"),
    "down": State(_down, "warn", "mlx does not answer"),
    "stuck": State(_stuck, "bad", "which plans the work"),
    "failing": State(_failing, "warn", "failed"),
}


def picture(browser: Browser, name: str, target: Path) -> None:
    """Prepare the state in a system of its own, and write its picture when the page says so."""
    state = STATES[name]
    with (
        tempfile.TemporaryDirectory() as place,
        postgres_server() as postgres,
        redis_server() as redis,
        running_system(
            postgres.url, redis.url, Path(place), time_scale=6.0,
            KOS_HEALTH_INTERVAL_SECONDS="2", **own_ports(),
        ) as system,
        running_dashboard(system.environ, system.directory) as dashboard,
    ):  # fmt: skip
        state.prepare(system)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(dashboard.url)
        verdict = page.locator("#part-verdict")
        expect(verdict).to_contain_text(state.says, timeout=WAIT_MILLISECONDS)
        expect(page.locator("#verdict")).to_have_attribute(
            "data-level", state.level, timeout=WAIT_MILLISECONDS
        )
        page.screenshot(path=str(target), full_page=True)
        page.close()
    database.close_all()


def main() -> None:
    directory, *names = sys.argv[1:]
    program = find_browser()
    assert program, "there is no Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name in names or STATES:
            picture(browser, name, Path(directory) / f"state-{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
