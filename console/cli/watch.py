"""``kos watch``: the full-screen live view."""

from __future__ import annotations

import os
import re
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import click
import psycopg2
import redis

from console.cli.app import App, pass_app
from console.cli.framework import Command
from console.cli.output import now_utc
from console.cli.watch_view import PANELS, Selection, screen_of, size_of
from console.operations.errors import BadInput
from console.operations.watching import Look, look
from models.database import DatabaseUnavailable

REFRESH_SECONDS = 1.0
MESSAGE_SECONDS = 4.0
ARROWS = {"\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOB": "down"}
PLAIN = {
    "k": "up",
    "j": "down",
    "\t": "tab",
    "p": "pause",
    "c": "cancel",
    "r": "retry",
    "q": "quit",
}


_KEY = re.compile(r"\x1b[\[O][A-Z]|.", re.DOTALL)
CHANGING = frozenset({"pause", "cancel", "retry"})
GONE = (DatabaseUnavailable, psycopg2.OperationalError, redis.RedisError)


@click.command(cls=Command, examples=(("kos watch", "lanes, running tasks, failures; q ends it"),))
@click.option("--refresh", type=click.FloatRange(0.2, 60), default=REFRESH_SECONDS, metavar="S")
@pass_app
def watch_command(app: App, refresh: float) -> None:
    """Full-screen live view, with keys to pause, cancel and retry."""
    from rich.live import Live

    from console.cli.output import screen

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadInput("kos watch needs a terminal: use `kos status --json` in scripts")
    console = screen()
    watch = Watch(app, now_look=lambda: _look_now(app))
    watch.renew(every_seconds=refresh)
    with _keys() as next_keys, Live(console=console, screen=True, auto_refresh=False) as live:
        while not watch.over:
            view = screen_of(
                watch.look, watch.selection, message=watch.message, height=console.height
            )
            live.update(view, refresh=True)
            for key in next_keys(min(refresh, watch.due_in_seconds)):
                watch.press(key)
            watch.renew(every_seconds=refresh)


def _look_now(app: App) -> Look:
    with app.database():
        return look(app.connections, now=now_utc())


@dataclass(slots=True)
class Watch:
    """What is seen and selected, and what each key does."""

    app: App
    now_look: Callable[[], Look]
    selection: Selection = field(default_factory=Selection)
    over: bool = False
    message: str = ""
    _look: Look | None = None
    _due_at: float = 0.0
    _message_until: float = 0.0

    @property
    def look(self) -> Look:
        if self._look is None:
            self._look = self.now_look()
        return self._look

    @property
    def due_in_seconds(self) -> float:
        return max(0.0, self._due_at - time.monotonic())

    def renew(self, *, every_seconds: float) -> None:
        """Look again when it is due; a slow look is repeated less often."""
        now = time.monotonic()
        if now >= self._message_until:
            self.message = ""
        if now < self._due_at:
            return
        self._take_a_look()
        took = time.monotonic() - now
        self._due_at = time.monotonic() + max(every_seconds, 10 * took)
        self._move(0)

    def press(self, key: str) -> None:
        actions = {
            "quit": self._quit,
            "up": lambda: self._move(-1),
            "down": lambda: self._move(1),
            "tab": self._next_panel,
            "pause": self._pause,
            "cancel": self._cancel,
            "retry": self._retry,
        }
        if key in actions:
            try:
                actions[key]()
                self._due_at = 0.0 if key in CHANGING else self._due_at
            except GONE as error:
                self._say(_lost(error))

    def _take_a_look(self) -> None:
        """Query the system. The first query must succeed; later outages are displayed."""
        try:
            self._look = self.now_look()
        except GONE as error:
            if self._look is None:
                raise
            self._say(_lost(error))

    def _quit(self) -> None:
        self.over = True

    def _move(self, step: int) -> None:
        last = max(0, size_of(self.look, self.selection.panel) - 1)
        row = min(max(0, self.selection.row + step), last)
        self.selection = replace(self.selection, row=row)

    def _next_panel(self) -> None:
        index = (PANELS.index(self.selection.panel) + 1) % len(PANELS)
        self.selection = Selection(PANELS[index], 0)

    def _pause(self) -> None:
        from console.operations import backends

        if self.selection.panel != "lanes" or not self.look.lanes:
            self._say("select a backend to pause it")
            return
        lane = self.look.lanes[self.selection.row]
        backends.set_paused(self.app.connections, lane.backend, paused=not lane.paused)
        self._say(f"{lane.backend} {'takes work' if lane.paused else 'is paused'}")

    def _cancel(self) -> None:
        from console.operations import tasks

        if self.selection.panel != "running" or not self.look.running:
            self._say("select a running task to cancel it")
            return
        task = self.look.running[self.selection.row]
        with self.app.database():
            tasks.cancel([task.id])
        self._say(f"{task.id[:8]} is asked to stop")

    def _retry(self) -> None:
        from console.operations import tasks

        if self.selection.panel != "failed" or not self.look.failed:
            self._say("select a failed task to retry it")
            return
        row = self.look.failed[self.selection.row]
        with self.app.database():
            tasks.retry([row["id"]])
        self._say(f"{row['id'][:8]} goes through again")

    def _say(self, message: str) -> None:
        self.message = message
        self._message_until = time.monotonic() + MESSAGE_SECONDS


@contextmanager
def _keys() -> Iterator[Callable[[float], list[str]]]:
    """Reads single keys from the terminal, which is put back afterwards."""
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)

    def next_keys(timeout_seconds: float) -> list[str]:
        readable, _, _ = select.select([descriptor], [], [], timeout_seconds)
        return named(os.read(descriptor, 64)) if readable else []

    try:
        yield next_keys
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _lost(error: Exception) -> str:
    service = "Redis" if isinstance(error, redis.RedisError) else "Postgres"
    return f"{service} cannot be reached; trying again"


def named(typed: bytes) -> list[str]:
    """The names of the known keys in ``typed``. An empty input means that the terminal has closed,
    which ends the view."""
    if not typed:
        return ["quit"]
    found = _KEY.findall(typed.decode("utf-8", "replace"))
    names = [ARROWS.get(key) or PLAIN.get(key.lower()) for key in found]
    return [name for name in names if name]
