"""Every page in a real browser: looked at, read by a screen reader's rules, on a phone too."""

from __future__ import annotations

import pytest
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


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_accessible_and_quiet(watched: Watched, system: System, theme: str) -> None:
    watched.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    done = _filled(system)

    issues = []
    for name, path in {**PAGES, "task": f"/tasks/{done}"}.items():
        page = watched.open(path)
        if name == "overview":
            expect(page.locator(".figure.completed b")).not_to_have_text("0", timeout=20_000)
        watched.picture(f"{name}-{theme}")
        issues += [f"{name}: {issue}" for issue in watched.serious_issues()]

    assert issues == []


def test_empty_pages_say_what_to_do(watched: Watched) -> None:
    for name, path in PAGES.items():
        watched.open(path)
        watched.picture(f"empty-{name}")
        assert watched.serious_issues() == []

    expect(watched.open("/tasks").locator("main")).to_contain_text("kos submit")


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
