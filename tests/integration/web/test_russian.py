"""Nothing on a page is left in English for a reader of Russian: names and data apart."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from psycopg2.extras import Json

from jobs.settings.load import PROJECT
from tests.integration.web.dashboards import Dashboard
from tests.support.system import System

PAGES = (
    "/", "/tasks", "/submit", "/backends", "/queues", "/queues/llm-ollama", "/experts",
    "/schedule", "/health", "/webhooks", "/chats", "/batches", "/projects",
)  # fmt: skip
DATA = {"code", "pre", "kbd", "script", "style", "option"}
SPOKEN = ("title", "aria-label", "placeholder")
NAMES = re.compile(
    # Settings, commands, paths, servers, models, experts, queues, actors, events, options.
    r"\b[0-9a-f]{8}\b|"
    r"kos [a-z]+( [a-z]+)*\b|[\w.-]*[/:_@=][\w./:_@=-]*|[A-Z][A-Z0-9_]{2,}|Knowledge\s?OS( Jobs)?|"
    r"Redis|Postgres|ollama|mlx|OpenAI|Ollama|Markdown|curl|Enter|Shift|metadata|"
    r"Anna|Boris|Backend|Content|engineer|Editor|llm-(ollama|mlx)|top_p|max_tokens|temperature|"
    r"(control|maintenance|deliver|embed|plan|prune|recover|scan|tidy)$|2h, today|"
    r"every weekday at 7:30|"
    r"(task|batch|backlog)\.[a-z]+|\[simulated.*|glm[\w.-]*|llava[\w.-]*|tinyllama[\w.-]*|"
    r"(qwen|phi|deepseek|llama|mistral|gemma|qwq|ollama\/)[\w.-]*"
)
LATIN = re.compile(r"[A-Za-z]{3,}")


class Texts(HTMLParser):
    """What a person reads or hears, without code and data."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in SPOKEN and value]
        if tag in DATA:
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.found.append(data)


def english_in(page: str) -> list[str]:
    texts = Texts()
    texts.feed(page)
    # The path of the checkout may hold spaces, which the pattern of paths does not.
    found = [text.strip().replace(str(PROJECT), "/project") for text in texts.found]
    return [text for text in found if LATIN.search(NAMES.sub("", text))]


def test_every_page_speaks_russian_with_tasks_in_every_state(
    dashboard: Dashboard, system: System
) -> None:
    done = system.insert("Разбор", "Объясни, что такое аренда.")
    failed = system.insert(
        "Без файла", "Прочти.", metadata=Json({"files_required": True, "file_path": "/nowhere/x"})
    )
    system.start()
    system.wait_status(done, "completed")
    system.wait_status(failed, "failed")
    pending = system.insert("Ждёт", "Потом.", metadata=Json({"preferred_model": "нет-такой"}))

    left = {}
    for path in (*PAGES, *(f"/tasks/{one}" for one in (done, failed, pending))):
        answer = dashboard.get(path, headers={"Accept-Language": "ru"})
        assert answer.status_code == 200, path
        left[path] = english_in(answer.text)

    assert "\n".join(f"{path}: {text}" for path, texts in left.items() for text in texts) == ""
