"""Every page in a real browser: looked at, read by a screen reader's rules, on a phone too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import Watched
from tests.support.system import System

PAGES = {
    "overview": "/",
    "tasks": "/tasks",
    "submit": "/submit",
    "backends": "/backends",
    "queues": "/queues",
    "queue": "/queues/llm-ollama?where=dead",
    "experts": "/experts",
    "chat": "/chat",
    "chats": "/chats",
    "schedule": "/schedule",
    "batches": "/batches",
    "webhooks": "/webhooks",
    "projects": "/projects",
    "health": "/health",
}


def _filled(system: System) -> str:
    """A system in the middle of its work; the id of a finished task."""
    system.start()
    done = system.insert("Review a lease", "Explain in two sentences what a lease is.")
    system.wait_status(done, "completed")
    system.sql(
        "INSERT INTO tasks (title, description, priority, category) SELECT 'Task ' || n, "
        "'Summarise what is known about topic ' || n, "
        "(ARRAY['low','medium','high','urgent'])[1 + mod(n, 4)], "
        "(ARRAY['fast','coding','reasoning'])[1 + mod(n, 3)] FROM generate_series(1, 60) AS n"
    )
    system.insert("Broken", "never runs", status="failed", last_error="timeout: no first token")
    system.wait(lambda: system.counts().get("in_progress", 0) > 2, what="work")
    return done


def _recurring_and_more(system: System) -> None:
    """A row for each page that lists what a person set up."""
    for command in (
        ("templates", "add", "review", "--text", "Review {{file}}"),
        ("schedules", "add", "--name", "digest", "--every", "every weekday at 7:30",
         "--text", "What happened on {{date}}?"),
        ("webhooks", "add", "chat", "http://127.0.0.1:9/hook"),
        ("projects", "set", "site", "--expert", "Anna"),
        ("submit", "Write the imprint", "--project", "site", "--tag", "legal"),
    ):  # fmt: skip
        subprocess.run(
            [str(Path(sys.executable).with_name("kos")), *command],
            env={**os.environ, **system.environ, "KOS_WEBHOOK_NETWORKS": "127.0.0.0/8"},
            cwd=system.directory,
            check=True,
            timeout=60,
        )


def test_every_page_is_accessible_in_every_state(watched: Watched, system: System) -> None:
    """One system goes from empty to stuck; each page is loaded once a state and looked at in both
    colour schemes."""
    watched.expected = ("404 (Not Found)",)
    verdict = watched.page.locator("#verdict")
    issues: list[str] = []

    def look(state: str, **more: str) -> None:
        for name, path in {**PAGES, **more}.items():
            page = watched.open(path)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                watched.picture(f"{state}-{name}-{scheme}")
                found = watched.serious_issues()
                issues.extend(f"{state} {name} {scheme}: {issue}" for issue in found)

    look("empty")
    expect(watched.open("/tasks").locator("main")).to_contain_text("kos submit")

    done = _filled(system)
    _recurring_and_more(system)
    missing = {"files_required": True, "file_path": "/nowhere/x"}
    refused = system.insert("Without its file", "Read it.", metadata=missing)
    system.wait_status(refused, "failed")
    expert = system.sql("SELECT id::text FROM experts ORDER BY name")[0]["id"]
    single = {
        "task": f"/tasks/{done}", "failed task": f"/tasks/{refused}",
        "compare": f"/tasks/{done}/compare", "expert": f"/experts/{expert}",
        "failed": "/tasks?status=failed", "refused": "/tasks?code=refused",
        "none": "/tasks?model=rare", "edit": "/schedule?edit=digest", "unknown": "/nowhere",
    }  # fmt: skip
    look("busy, failing", **single)

    (system.directory / "home").mkdir(exist_ok=True)
    system.start("scheduler", "health_checker")
    os.kill(system.mlx.pid, signal.SIGSTOP)
    watched.open("/")
    problems = watched.page.locator("#part-verdict")
    expect(problems).to_contain_text("mlx does not answer", timeout=120_000)
    look("one server down")

    for lane in ("llm-mlx", "llm-ollama"):
        system.kill(lane, with_signal=signal.SIGSTOP)
    watched.open("/")
    expect(verdict).to_have_attribute("data-level", "bad", timeout=120_000)
    look("stuck")

    os.kill(system.mlx.pid, signal.SIGCONT)
    assert issues == []


def test_pages_fit_a_phone(watched: Watched, system: System) -> None:
    done = _filled(system)
    watched.page.set_viewport_size({"width": 375, "height": 780})

    for name, path in {**PAGES, "task": f"/tasks/{done}"}.items():
        page = watched.open(path)
        watched.picture(f"phone-{name}")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 375, f"{name} is {width} px wide"


def test_russian_is_spoken_throughout(watched: Watched, system: System) -> None:
    done = _filled(system)
    page = watched.open("/")

    page.get_by_role("button", name="RU").click()

    expect(page.locator("html")).to_have_attribute("lang", "ru")
    for name, path in {**PAGES, "task": f"/tasks/{done}"}.items():
        watched.open(path)
        watched.picture(f"ru-{name}")
        heading = page.locator("nav a[aria-current]")
        assert heading.count() == 0 or not heading.first.inner_text().isascii()
