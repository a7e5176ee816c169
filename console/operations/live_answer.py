"""The answer of a running task, piece by piece as it is written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import redis

from jobs.queues.names import live_key, watch_key
from models import task_views
from models.database import session
from models.states import FINAL_STATES
from models.task_rows import WholeTask

POLL_SECONDS = 0.2
WATCH_SECONDS = 10
_FINAL = frozenset(state.value for state in FINAL_STATES)


def followed(client: redis.Redis, task_id: str) -> Iterator[str]:
    """Yields new text until the task has ended; the pieces end with its answer.

    When a new attempt starts, an empty line separates it from the discarded text.
    """
    before = ""
    while True:
        row = _row(task_id)
        if row.status in _FINAL:
            yield from _more(before, row.result or "")
            return
        text = _live(client, task_id)
        yield from _more(before, text)
        before = text or before
        time.sleep(POLL_SECONDS)


def _live(client: redis.Redis, task_id: str) -> str:
    """Telling the worker that somebody looks is what makes it publish."""
    with client.pipeline(transaction=False) as pipe:
        pipe.set(watch_key(task_id), 1, ex=WATCH_SECONDS)
        pipe.get(live_key(task_id))
        text: Any = pipe.execute()[1]
    return text.decode() if isinstance(text, bytes) else text or ""


def _more(before: str, text: str) -> Iterator[str]:
    if not text or text == before:
        return
    if text.startswith(before):
        yield text[len(before) :]
    elif not before.startswith(text):
        yield f"\n\n{text}"


def _row(task_id: str) -> WholeTask:
    with session():
        row = task_views.one(task_id)
    assert row is not None
    return row
