"""The record of requests: one row each, written in the background."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime

import anyio
import anyio.to_thread

from gateway.background import BackgroundWork
from gateway.errors import is_away
from jobs.process.clock import utc_now
from models import request
from models.database import session
from models.request import NewRequest

logger = logging.getLogger(__name__)

WRITE_SECONDS = 0.5
MOST_UNWRITTEN = 10_000
MAX_TEXT_CHARS = 20_000
HANGUP = 499
"""The status of a request whose caller went away, as nginx writes it."""


@dataclass(slots=True)
class Record:
    """A request under way; the relay fills it in. Durations in seconds."""

    caller: str
    api: str
    asked: str
    at: datetime = field(default_factory=utc_now)
    status: int = HANGUP
    backend: str | None = None
    model: str | None = None
    queue_seconds: float = 0.0
    load_seconds: float = 0.0
    first_token_seconds: float | None = None
    duration_seconds: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str | None = None
    text: str | None = None

    def row(self) -> NewRequest:
        return NewRequest(
            at=self.at,
            caller=_storable(self.caller, 200),
            api=self.api,
            asked=_storable(self.asked, 200),
            status=self.status,
            backend=self.backend,
            model=self.model and _storable(self.model, 200),
            queue_seconds=round(self.queue_seconds, 4),
            load_seconds=round(self.load_seconds, 4),
            first_token_seconds=self.first_token_seconds,
            duration_seconds=round(self.duration_seconds, 4),
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            error=self.error and _storable(self.error, 2000),
            text=self.text and _storable(self.text, MAX_TEXT_CHARS),
        )


class RequestLog(BackgroundWork):
    """Collects rows and writes them twice a second. While Postgres is away it keeps the newest
    ten thousand: an answer never waits for its bookkeeping."""

    def __init__(self) -> None:
        self._unwritten: list[NewRequest] = []

    def add(self, record: Record) -> None:
        self._unwritten.append(record.row())

    async def stop(self) -> None:
        await super().stop()
        with anyio.move_on_after(2.0, shield=True):
            await self._write()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            await self._write()

    async def _write(self) -> None:
        rows, self._unwritten = self._unwritten[-MOST_UNWRITTEN:], []
        if not rows:
            return
        try:
            await anyio.to_thread.run_sync(_insert, rows)
        except Exception as error:
            if is_away(error):
                logger.warning("requests_not_written_yet rows=%d error=%s", len(rows), error)
                self._unwritten = rows + self._unwritten
            else:
                # One row that Postgres refuses must not end the log: these rows are lost.
                logger.exception("requests_not_written rows=%d", len(rows))


def _insert(rows: list[NewRequest]) -> None:
    with session():
        request.record(rows)


def _storable(text: str, most_chars: int) -> str:
    """Postgres text holds no NUL and no half of a surrogate pair."""
    return text[:most_chars].encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")
