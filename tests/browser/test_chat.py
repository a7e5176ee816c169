"""The chat page in a real browser, on the gateway, in front of a slow simulated server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from console.home import free_port
from models import database
from tests.browser.conftest import TOKEN, Watched, _watch
from tests.integration.web.dashboards import running_dashboard
from tests.support.system import System, running_system

PROFILE: dict[str, Any] = {
    "slots": 2,
    "min_answer_tokens": 40,
    "max_answer_tokens": 60,
    "models": [
        {
            "name": "lantern:7b", "size_bytes": 4_000_000_000, "parameters": 7_000_000_000,
            "context_tokens": 32_768, "capabilities": ["completion"], "load_seconds": 0.1,
            "prefill_tokens_per_second": 5000, "decode_tokens_per_second": 25,
        }
    ],
}  # fmt: skip


@pytest.fixture
def system(migrated_url: str, redis_url: str, tmp_path: Path) -> Iterator[System]:
    port = free_port()
    with running_system(
        migrated_url, redis_url, tmp_path, time_scale=1.0, profile=PROFILE, MLX_API_URL="disabled",
        KOS_GATEWAY_PORT=str(port), KOS_GATEWAY_TOKEN=TOKEN,
    ) as running:  # fmt: skip
        running.start("gateway")
        running.wait(
            lambda: answers(f"http://127.0.0.1:{port}"),
            what="gateway answers",
            deadline_seconds=120,
        )
        yield running
    database.close_all()


@pytest.fixture
def watched(browser: Browser, system: System) -> Iterator[Watched]:
    with running_dashboard(system.environ, system.directory) as dashboard:
        yield from _watch(browser, dashboard)


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=1).ok
    except requests.ConnectionError:
        return False


def ask(page: Page, text: str) -> None:
    page.get_by_label("Your message").fill(text)
    page.keyboard.press("Enter")


def test_a_chat_streams_stops_and_becomes_a_task(watched: Watched, system: System) -> None:
    page = watched.open("/chat")
    assert TOKEN not in page.content()
    page.get_by_label("Model or expert").select_option("expert/anna")

    ask(page, "Name a <b>colour</b>")
    said = page.locator(".answer > .said")
    expect(said).not_to_be_empty()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    watched.picture("chat-streaming")
    expect(page.locator(".answer.done")).to_be_visible()
    expect(page.locator(".figures-of")).to_contain_text("ollama/lantern:7b")
    expect(page.locator(".question .said")).to_have_text("Name a <b>colour</b>")
    assert watched.serious_issues() == []

    ask(page, "And another")
    expect(said.last).not_to_be_empty()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".answer").last).to_contain_text("Stopped")
    system.wait(lambda: [r["status"] for r in requested(system)] == [200, 499], what="request log")
    assert {row["caller"] for row in requested(system)} == {"dashboard"}

    page.get_by_role("button", name="Make this a task").last.click()
    expect(page.locator(".head .state")).to_be_visible()
    task = system.sql("SELECT description, metadata FROM tasks")[0]
    assert task["description"].endswith("user: And another")
    assert "careful backend code" in task["metadata"]["system"]


def test_the_chat_page_is_dark_russian_small_and_honest(watched: Watched, system: System) -> None:
    for name, language, width in (("light", "en", 1360), ("dark", "ru", 390)):
        watched.page.emulate_media(color_scheme=name)  # type: ignore[arg-type]
        watched.page.set_viewport_size({"width": width, "height": 780})
        page = watched.open("/chat")
        page.get_by_role("button", name=language.upper(), exact=True).click()
        watched.open("/chat?model=lantern:7b")
        page.locator("#chat-text").fill("Why do lighthouses turn?\nIn short.")
        page.locator("#chat-send").click()
        expect(page.locator(".answer.done")).to_be_visible()
        watched.picture(f"chat-{name}-{language}-{width}")
        assert watched.serious_issues() == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    system.ollama.fault("truncate", count=1, after_tokens=3)
    page.locator("#chat-text").fill("Again")
    page.locator("#chat-send").click()
    expect(page.locator(".answer p[role=alert]").last).to_contain_text("end mark")
    system.stop("gateway")
    expect(watched.open("/chat").locator("main")).to_contain_text("шлюз не отвечает")
    watched.picture("chat-without-gateway")


def requested(system: System) -> list[Any]:
    return system.sql("SELECT caller, status FROM kos_requests ORDER BY id")
