"""Server time of the pages on a full database, time to show, and what live updates cost.

``python -m benchmarks.dashboard [--tasks 100000] [--attempts 1000000] [--days 7] [--pages 20]``
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from pathlib import Path

import psutil
import requests
from playwright.sync_api import Browser, sync_playwright

from benchmarks.dashboard.seed import seed
from models import database
from tests.integration.web.dashboards import Dashboard, running_dashboard
from tests.support.browsers import find_browser
from tests.support.embedded import postgres_server, redis_server
from tests.support.system import migrate

PATHS = ("/", "/tasks", "/tasks?status=failed", "/tasks?q=topic+77", "/tasks?q=topic",
         "/tasks?q=topic&status=failed", "/tasks?q=the", "/tasks?code=echo", "/tasks?model=rare",
         "/tasks?expert=Nobody", "/projects", "/queues", "/backends", "/experts", "/schedule",
         "/chats", "/api/v1/status", "/metrics")  # fmt: skip
ROUNDS = 15
WATCH_SECONDS = 15.0
PAINTED = """new Promise((painted) => new PerformanceObserver((list) =>
  list.getEntriesByName('first-contentful-paint').forEach((entry) => painted(entry.startTime))
).observe({ type: 'paint', buffered: true }))"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard")
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--attempts", type=int, default=1_000_000)
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--pages", type=int, default=20)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        postgres_server() as postgres,
        redis_server() as redis,
    ):
        migrate(postgres.url)
        database.close_all()
        began = time.monotonic()
        seed(postgres.url, tasks=options.tasks, attempts=options.attempts, days=options.days)
        print(f"seeded {options.tasks} tasks, {options.attempts} attempts over {options.days} days "
              f"in {time.monotonic() - began:.0f} s")  # fmt: skip
        environ = {
            "DATABASE_URL": postgres.url,
            "REDIS_URL": redis.url,
            "KOS_HOME": f"{directory}/home",
            "OLLAMA_API_URL": "http://127.0.0.1:9",
            "MLX_API_URL": "http://127.0.0.1:9",
        }
        with running_dashboard(environ, Path(directory)) as dashboard:
            _measure_pages(dashboard)
            _measure_browser(dashboard)
            _measure_feed(dashboard, postgres.pid, pages=0)
            _measure_feed(dashboard, postgres.pid, pages=1)
            _measure_feed(dashboard, postgres.pid, pages=options.pages)


def _measure_pages(dashboard: Dashboard) -> None:
    print(f"{'page':28} {'first ms':>9} {'p50 ms':>8} {'p95 ms':>8} {'max ms':>8}")
    for path in PATHS:
        with requests.Session() as browser:
            taken = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                answer = browser.get(f"{dashboard.url}{path}", timeout=60)
                answer.raise_for_status()
                taken.append((time.perf_counter() - began) * 1000)
                # So far apart that caches of a second have run out in between.
                time.sleep(0.3)
        rest = sorted(taken[1:])
        p95 = rest[int(len(rest) * 0.95)]
        print(
            f"{path:28} {taken[0]:9.1f} {statistics.median(rest):8.1f} {p95:8.1f} {rest[-1]:8.1f}"
        )


def _measure_browser(dashboard: Dashboard) -> None:
    """From the click to the first text on the screen, in headless Chromium with an empty cache."""
    program = find_browser()
    if program is None:
        print("no chromium: the time to show is not measured")
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for path in ("/", "/tasks"):
            painted = sorted(_first_paint(browser, f"{dashboard.url}{path}") for _ in range(5))
            print(f"{path:28} on the screen after {painted[2]:.0f} ms, at most {painted[-1]:.0f}")
        browser.close()


def _first_paint(browser: Browser, url: str) -> float:
    context = browser.new_context()
    page = context.new_page()
    page.goto(url, wait_until="load")
    milliseconds: float = page.evaluate(PAINTED)
    context.close()
    return milliseconds


def _measure_feed(dashboard: Dashboard, postgres_pid: int, *, pages: int) -> None:
    stop = threading.Event()
    received = [0] * pages
    watchers = [
        threading.Thread(target=_watch, args=(dashboard, received, n, stop)) for n in range(pages)
    ]
    for watcher in watchers:
        watcher.start()
    process = psutil.Process(dashboard.process.pid)
    time.sleep(3)
    before, before_postgres = _cpu_seconds(process), _postgres_seconds(postgres_pid)
    began = time.monotonic()
    time.sleep(WATCH_SECONDS)
    window = time.monotonic() - began
    share = (_cpu_seconds(process) - before) / window
    postgres_share = (_postgres_seconds(postgres_pid) - before_postgres) / window
    stop.set()
    for watcher in watchers:
        watcher.join(timeout=30)
    each = f", {share / pages:.2%} of a core a page" if pages else ""
    print(f"{pages} open pages: {share:.2%} of a core{each}; Postgres {postgres_share:.2%}; "
          f"{sum(received)} bytes in {WATCH_SECONDS + 3:.0f} s; rss "
          f"{process.memory_info().rss / 1e6:.0f} MB")  # fmt: skip


def _watch(dashboard: Dashboard, received: list[int], number: int, stop: threading.Event) -> None:
    with requests.get(f"{dashboard.url}/feed", stream=True, timeout=60) as stream:
        for piece in stream.iter_content(None):
            received[number] += len(piece)
            if stop.is_set():
                return


def _postgres_seconds(pid: int) -> float:
    server = psutil.Process(pid)
    backends = [server, *server.children(recursive=True)]
    return sum(_cpu_seconds(process) for process in backends)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    main()
