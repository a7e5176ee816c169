"""Live updates: one poller per process queries while pages are open, and feeds all of them.

A page receives only its changed parts. Parts are rendered once per language, however many pages are
open.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import peewee
import redis
from jinja2 import Environment

from console.web.figures.overview import Overview, Overviews
from console.web.templating import render
from console.words import Words, words_for
from models.database import DatabaseUnavailable

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
KEEP_ALIVE_SECONDS = 15.0
SECTIONS = ("verdict", "figures", "lanes", "backlog", "failures", "health")


@dataclass(eq=False, slots=True)
class _Page:
    """One open page; ``seen`` is the digest of each part as it was sent last."""

    language: str
    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[str | None] = field(default_factory=lambda: asyncio.Queue(maxsize=8))
    seen: dict[str, str] = field(default_factory=dict)


class Feed:
    """``pages`` may join and leave at any time; the poller's thread lives as long as one is there.

    A page that does not read is skipped, never waited for.
    """

    def __init__(
        self, overviews: Overviews, templates: Environment, *, read_only: bool = False
    ) -> None:
        self._overviews = overviews
        self._templates = templates
        self._read_only = read_only
        self._lock = threading.Lock()
        self._pages: set[_Page] = set()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._closed = False

    @property
    def watched(self) -> int:
        return len(self._pages)

    async def events(self, language: str) -> AsyncIterator[str]:
        """Server-sent events for one page until it goes away."""
        page = _Page(language, asyncio.get_running_loop())
        self._join(page)
        try:
            yield "retry: 2000\n\n"
            while True:
                try:
                    text = await asyncio.wait_for(page.queue.get(), KEEP_ALIVE_SECONDS)
                except TimeoutError:
                    text = ": still here\n\n"
                if text is None:
                    return
                yield text
        finally:
            with self._lock:
                self._pages.discard(page)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            pages = list(self._pages)
        for page in pages:
            page.loop.call_soon_threadsafe(_put, page, None)
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _join(self, page: _Page) -> None:
        with self._lock:
            if self._closed:
                page.queue.put_nowait(None)
                return
            self._pages.add(page)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._poll, name="feed", daemon=True)
                self._thread.start()
        self._wake.set()

    def _poll(self) -> None:
        while True:
            self._wake.clear()
            with self._lock:
                if self._closed or not self._pages:
                    self._thread = None
                    return
            self._tick()
            self._wake.wait(TICK_SECONDS)

    def _tick(self) -> None:
        try:
            overview = self._overviews.fresh()
            problem = None
        except (DatabaseUnavailable, peewee.PeeweeException, redis.RedisError) as error:
            logger.warning("feed_blind error=%s", error)
            overview, problem = None, str(error).strip().splitlines()[0]
        parts_by_language: dict[str, dict[str, tuple[str, str]]] = {}
        for page in list(self._pages):
            if page.language not in parts_by_language:
                words = words_for(page.language)
                parts_by_language[page.language] = self._parts(overview, problem, words)
            self._push(page, parts_by_language[page.language])

    def _parts(
        self, overview: Overview | None, problem: str | None, words: Words
    ) -> dict[str, tuple[str, str]]:
        """(text, its digest) of each part."""
        if overview is None:
            return {"problem": _digested(json.dumps(problem))}
        parts = {name: self._render(name, words, overview) for name in SECTIONS}
        parts["chart"] = json.dumps(overview.throughput)
        parts["problem"] = json.dumps(None)
        return {name: _digested(text) for name, text in parts.items()}

    def _render(self, name: str, words: Words, overview: Overview) -> str:
        """One part for every page: each fills in the form token of its own session."""
        return render(
            self._templates,
            f"parts/{name}.html",
            words,
            overview=overview,
            read_only=self._read_only,
            form_token="",
        )

    def _push(self, page: _Page, parts: dict[str, tuple[str, str]]) -> None:
        changed = {
            name: text for name, (text, digest) in parts.items() if page.seen.get(name) != digest
        }
        if not changed or page.queue.full():
            return
        page.seen |= {name: parts[name][1] for name in changed}
        try:
            page.loop.call_soon_threadsafe(_put, page, event("parts", changed))
        except RuntimeError:
            # The loop is gone, and the page with it.
            self._pages.discard(page)


def event(name: str, value: Any) -> str:
    """One server-sent event with ``value`` as JSON."""
    return f"event: {name}\ndata: {json.dumps(value, default=str)}\n\n"


def _put(page: _Page, text: str | None) -> None:
    if not page.queue.full():
        page.queue.put_nowait(text)


def _digested(text: str) -> tuple[str, str]:
    return text, hashlib.blake2s(text.encode()).hexdigest()
