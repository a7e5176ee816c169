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
from typing import TYPE_CHECKING

import click
import psycopg2
import redis

from console.cli.app import App, pass_app
from console.cli.framework import Command, Seconds
from console.cli.output import styled, words
from console.cli.text import one_line
from console.cli.watch_view import PANELS, Selection, keys_screen, screen_of, size_of
from console.operations.errors import InvalidInput
from console.operations.watching import Look, look
from jobs.process.clock import utc_now
from models.database import DatabaseUnavailable

if TYPE_CHECKING:
    from rich.console import RenderableType

REFRESH_SECONDS = 1.0
MESSAGE_SECONDS = 4.0
ARROWS = {"\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOB": "down"}
PLAIN = {
    "k": "up",
    "j": "down",
    "\t": "tab",
    "\r": "open",
    "\n": "open",
    " ": "mark",
    "?": "keys",
    "y": "yes",
    "д": "yes",
    "n": "no",
    "н": "no",
    "p": "pause",
    "c": "cancel",
    "r": "retry",
    "q": "quit",
}


_KEY = re.compile(r"\x1b[\[O][A-Z]|.", re.DOTALL)
CHANGING = frozenset({"pause", "cancel", "retry", "yes"})
GONE = (DatabaseUnavailable, psycopg2.OperationalError, redis.RedisError)


@click.command(cls=Command, examples=(("kos watch", "lanes, running tasks, failures; q ends it"),))
@click.option("--refresh", type=Seconds(0.2, 60), default=REFRESH_SECONDS, metavar="S")
@pass_app
def watch_command(app: App, refresh: float) -> None:
    """Full-screen live view, with keys to pause, cancel and retry."""
    from rich.live import Live

    from console.cli.output import screen

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInput("kos watch needs a terminal: use `kos status --json` in scripts")
    console = screen()
    watch = Watch(app, now_look=lambda: _look_now(app))
    watch.renew(every_seconds=refresh)
    with _keys() as next_keys, Live(console=console, screen=True, auto_refresh=False) as live:
        while not watch.over:
            live.update(watch.view(console.width, console.height), refresh=True)
            for key in next_keys(min(refresh, watch.due_in_seconds)):
                watch.press(key)
            watch.renew(every_seconds=refresh)


def _look_now(app: App) -> Look:
    with app.database():
        return look(app.connections, now=utc_now())


@dataclass(slots=True)
class Watch:
    """What is seen and selected, and what each key does."""

    app: App
    now_look: Callable[[], Look]
    selection: Selection = field(default_factory=Selection)
    over: bool = False
    message: str = ""
    overlay: str = ""
    """``keys``, the id of the opened task, or nothing."""
    _unconfirmed: Callable[[], None] | None = None
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

    def view(self, width: int, height: int) -> RenderableType:
        if self.overlay == "keys":
            return keys_screen()
        if self.overlay:
            return self._opened(self.overlay, height)
        return screen_of(
            self.look, self.selection, message=self.message, height=height, width=width
        )

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
        if self._unconfirmed is not None:
            self._answer(yes=key == "yes")
            return
        if self.overlay:
            self.overlay = "" if key in {"quit", "keys", "open"} else self.overlay
            return
        actions = {
            "quit": self._quit,
            "open": self._open,
            "mark": self._mark,
            "keys": self._keys,
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
        self.selection = replace(self.selection, panel=PANELS[index], row=0)

    def _keys(self) -> None:
        self.overlay = "keys"

    def _open(self) -> None:
        chosen = self._here()
        if chosen is None:
            self._say(words()("select a task to open it"))
        else:
            self.overlay = chosen[0]

    def _mark(self) -> None:
        chosen = self._here()
        if chosen is not None:
            marked = self.selection.marked ^ {chosen[0]}
            self.selection = replace(self.selection, marked=marked)
            self._move(1)

    def _here(self) -> tuple[str, str] | None:
        """(id, title) of the task at the cursor."""
        panel, row = self.selection.panel, self.selection.row
        if panel == "running" and self.look.running:
            return self.look.running[row].id, self.look.running[row].title
        if panel == "failed" and self.look.failed:
            return self.look.failed[row].id, self.look.failed[row].title or ""
        return None

    def _chosen(self) -> list[str]:
        """The marked tasks of the panel, else the one at the cursor."""
        here = {
            "running": [task.id for task in self.look.running],
            "failed": [row.id for row in self.look.failed],
        }.get(self.selection.panel, [])
        marked = [task_id for task_id in here if task_id in self.selection.marked]
        found = self._here()
        return marked or ([found[0]] if found else [])

    def _ask(self, question: str, action: Callable[[], None]) -> None:
        self._unconfirmed = action
        self._say(f"{question} y/n")
        self._message_until = float("inf")

    def _answer(self, *, yes: bool) -> None:
        action, self._unconfirmed = self._unconfirmed, None
        self._say("")
        if yes and action is not None:
            try:
                action()
            except GONE as error:
                self._say(_lost(error))
            self._due_at = 0.0

    def _opened(self, task_id: str, height: int) -> RenderableType:
        from console.cli.watch_task import task_screen
        from console.operations import tasks
        from console.operations.lanes import slots_for
        from console.operations.outlook import position_of
        from models import decision, task_views

        try:
            with self.app.database():
                row = tasks.details(task_id)
                parents = task_views.statuses_of(row.depends_on) if row.depends_on else {}
                position = position_of(task_id, self.app.settings)
                decisions = decision.of_task(task_id)
            slots = slots_for(row, self.app.connections)
        except GONE as error:
            return styled(_lost(error), "yellow")
        return task_screen(
            row, decisions, parents, position, slots=slots, now=utc_now(), height=height
        )

    def _pause(self) -> None:
        from console.operations import backends

        if self.selection.panel != "lanes" or not self.look.lanes:
            self._say(words()("select a backend to pause it"))
            return
        lane = self.look.lanes[self.selection.row]
        backends.set_paused(self.app.connections, lane.backend, paused=not lane.paused)
        pattern = "{name} takes work" if lane.paused else "{name} is paused"
        self._say(words()(pattern, name=lane.backend))

    def _cancel(self) -> None:
        from console.operations import tasks

        chosen = self._chosen() if self.selection.panel == "running" else []
        if not chosen:
            self._say(words()("select a running task to cancel it"))
            return

        def cancel() -> None:
            with self.app.database():
                tasks.cancel(chosen)
            self.selection = replace(self.selection, marked=frozenset())
            self._say(words()("{what} is asked to stop", what=self._named(chosen)))

        self._ask(words()("Cancel {what}?", what=self._named(chosen)), cancel)

    def _named(self, chosen: list[str]) -> str:
        """One task by id and title, several by their number."""
        if len(chosen) > 1:
            return words()("{n} tasks", n=len(chosen))
        titles = {task.id: task.title for task in self.look.running}
        title = one_line(titles.get(chosen[0], ""), max_chars=40)
        return f"{chosen[0][:8]} {title}".strip()

    def _retry(self) -> None:
        from console.operations import tasks

        chosen = self._chosen() if self.selection.panel == "failed" else []
        if not chosen:
            self._say(words()("select a failed task to retry it"))
            return
        with self.app.database():
            tasks.retry(chosen)
        self.selection = replace(self.selection, marked=frozenset())
        self._say(words()("{what} goes through again", what=self._named(chosen)))

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
