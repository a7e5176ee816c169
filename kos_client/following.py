"""Waits for running tasks: polls with growing pauses, and reads answers while they are written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from kos_client.errors import TimedOut, Unreachable
from kos_client.reading import member
from kos_client.values import FINAL_STATUSES, Batch, Task, TaskPage

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 1.0
PAGE_IDS = 200
"""Their ids fill eight kilobytes of a URL."""
RESTART_SECONDS = 30.0
"""A restarted dashboard is back within this time."""


def ended(
    page: Callable[..., TaskPage], ids: Sequence[str], *, timeout_seconds: float
) -> Iterator[Task]:
    """Each of ``ids`` as it ends.

    Raises TimedOut after ``timeout_seconds``, and Unreachable where the dashboard is gone for
    longer than a restart takes.
    """
    left = dict.fromkeys(ids)
    patience = _PollTimer(timeout_seconds)
    while left:
        found = patience.poll(lambda: _ended_of(page, list(left)))
        for task in found or ():
            left.pop(task.id, None)
            yield task
        if left:
            patience.pause(has_moved=bool(found), what=f"{len(left)} of {len(ids)} tasks")


def until_ended(look: Callable[[], Batch], *, timeout_seconds: float) -> Batch:
    """The batch once it has ended; raises as :func:`ended`."""
    patience = _PollTimer(timeout_seconds)
    while True:
        batch = patience.poll(look)
        if batch is not None and batch.has_ended:
            return batch
        patience.pause(has_moved=False, what="the batch")


def with_bar(tasks: Iterable[Task], *, total: int) -> Iterator[Task]:
    """The same tasks, with a bar on stderr."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return iter(track(tasks, description="tasks", total=total, console=console, transient=True))


def parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """``items`` in lists of at most ``size``."""
    left = iter(items)
    while part := list(islice(left, size)):
        yield part


def texts(events: Iterable[tuple[str, Any]], *, end: float) -> Iterator[str]:
    """The whole text after each piece. Raises TimedOut at ``end`` of the monotonic clock."""
    text = ""
    for name, data in events:
        if name == "end":
            return
        if name == "answer":
            text = data["whole"] if "whole" in data else text + member(data, "more")
            yield text
        if time.monotonic() > end:
            raise TimedOut("the answer is not whole yet; the task goes on: call `stream` again")


def more(before: str, text: str) -> str:
    """The text to write after ``before`` so that the output ends with ``text``."""
    if text.startswith(before):
        return text[len(before) :]
    return f"\n\n{text}"


def _ended_of(page: Callable[..., TaskPage], ids: Sequence[str]) -> list[Task]:
    final = sorted(FINAL_STATUSES)
    return [
        task
        for part in parts(ids, PAGE_IDS)
        for task in page(id=part, status=final, limit=PAGE_IDS).tasks
    ]


class _PollTimer:
    """How long to keep waiting, and how long to pause between two polls."""

    def __init__(self, timeout_seconds: float) -> None:
        self._seconds = timeout_seconds
        self._end = time.monotonic() + timeout_seconds
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._unreachable_since: float | None = None

    def poll(self, look: Callable[[], T]) -> T | None:
        """The result of ``look``; None while the dashboard may be restarting."""
        now = time.monotonic()
        try:
            found = look()
        except Unreachable:
            self._unreachable_since = self._unreachable_since or now
            if now - self._unreachable_since > RESTART_SECONDS or now > self._end:
                raise
            return None
        self._unreachable_since = None
        return found

    def pause(self, *, has_moved: bool, what: str) -> None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimedOut(
                f"{what} have not ended after {self._seconds:g} s and go on: wait again, "
                "or ask `why`"
            )
        grown = min(self._pause_seconds * 1.5, LONGEST_PAUSE_SECONDS)
        self._pause_seconds = FIRST_PAUSE_SECONDS if has_moved else grown
        time.sleep(min(self._pause_seconds, left))
