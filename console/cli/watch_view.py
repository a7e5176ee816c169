"""The screen of the live view, built from one snapshot and the selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from console.cli.output import state_text, styled
from console.cli.text import one_line
from console.operations.times import ago, span
from console.operations.watching import Lane, Look

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

PANELS = ("lanes", "running", "failed")
KEYS = "tab panel   ↑↓ select   p pause/resume   c cancel   r retry   q quit"
CHROME_LINES = 12


@dataclass(frozen=True, slots=True)
class Selection:
    """Which panel has the keys, and which of its rows."""

    panel: str = "lanes"
    row: int = 0


def size_of(look: Look, panel: str) -> int:
    return len({"lanes": look.lanes, "running": look.running, "failed": look.failed}[panel])


def screen_of(look: Look, selection: Selection, *, message: str, height: int) -> RenderableType:
    """Fits ``height`` lines: running and failed tasks share what the lanes leave."""
    from rich.console import Group

    room = max(4, height - CHROME_LINES - len(look.lanes))
    failed_rows = min(len(look.failed), max(2, room // 3))
    running_rows = max(2, room - failed_rows)
    return Group(
        _head(look),
        styled(""),
        _lanes(look, selection),
        styled(""),
        _running(look, selection, rows=running_rows),
        styled(""),
        _failed(look, selection, rows=failed_rows),
        styled(""),
        styled(message, "yellow") if message else styled(KEYS, "dim"),
    )


def _head(look: Look) -> RenderableType:
    line = styled("Knowledge OS Jobs  ", "bold")
    for state, count in sorted(look.counts.items()):
        line += state_text(state) + styled(f" {count}   ")
    left = sum(look.counts.get(state, 0) for state in ("pending", "queued", "in_progress"))
    line += styled(f"{look.finished_last_minute}/min")
    if left and look.finished_last_minute:
        line += styled(f", about {span(60 * left / look.finished_last_minute)} left", "dim")
    if look.oldest_waits_since is not None:
        waited = span((look.at - look.oldest_waits_since).total_seconds())
        line += styled(f", the oldest waits {waited}", "dim")
    return line


def _lanes(look: Look, selection: Selection) -> Table:
    table = _table("BACKEND", "IN FLIGHT", "QUEUE", "BLOCK", "NEXT", "IN MEMORY", "LIMIT")
    for index, lane in enumerate(look.lanes):
        trouble = "paused" if lane.paused else lane.trouble
        name = styled(lane.backend, "yellow" if lane.paused else "red" if trouble else "green")
        why = trouble or lane.limit_reason
        cells = [
            name,
            styled(_bar(lane.in_flight, lane.limit) + _chats(lane)),
            styled(_queue(lane), "red" if lane.dead else ""),
            styled(lane.present or "-"),
            styled(lane.following or "-", "dim"),
            styled(one_line(", ".join(lane.resident)) or "-"),
            styled(one_line(why), "red" if trouble else "dim"),
        ]
        table.add_row(*cells, style=_style(selection, "lanes", index))
    return table


def _running(look: Look, selection: Selection, *, rows: int) -> Table:
    table = _table("RUNNING", "BACKEND", "MODEL", "PHASE", "TOKENS", "FOR", flexible="TITLE")
    for index in _window(len(look.running), selection, "running", rows):
        task = look.running[index]
        elapsed = (look.at - task.started_at).total_seconds() if task.started_at else None
        cells = [task.id[:8], task.backend, task.model, task.progress.phase or "starting",
                 str(task.progress.tokens or ""), span(elapsed), one_line(task.title)]  # fmt: skip
        table.add_row(*map(styled, cells), style=_style(selection, "running", index))
    return table


def _failed(look: Look, selection: Selection, *, rows: int) -> Table:
    table = _table("FAILED", "WHEN", "TITLE", flexible="REASON")
    for index in _window(len(look.failed), selection, "failed", rows):
        row = look.failed[index]
        cells = [
            row["id"][:8],
            ago(row["completed_at"], now=look.at),
            one_line(row["title"] or "", max_chars=40),
            one_line(row["last_error"] or ""),
        ]
        table.add_row(*map(styled, cells), style=_style(selection, "failed", index))
    return table


def _table(*titles: str, flexible: str = "") -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", expand=True, padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(title, no_wrap=True, overflow="ellipsis")
    if flexible:
        table.add_column(flexible, no_wrap=True, overflow="ellipsis", ratio=1)
    return table


def _bar(used: int, limit: int, *, width: int = 10) -> str:
    filled = round(width * min(used, limit) / limit) if limit else 0
    return "█" * filled + "·" * (width - filled) + f" {used}/{limit}"


def _chats(lane: Lane) -> str:
    return f", {lane.chats} chats" if lane.chats else ""


def _queue(lane: Lane) -> str:
    return f"{lane.ready} ready" + (f", {lane.dead} dead" if lane.dead else "")


def _window(count: int, selection: Selection, panel: str, rows: int) -> Sequence[int]:
    """The visible rows: those around the selected one."""
    selected = selection.row if selection.panel == panel else 0
    start = max(0, min(selected - rows + 1, count - rows)) if selected >= rows else 0
    return range(start, min(count, start + rows))


def _style(selection: Selection, panel: str, index: int) -> str:
    return "reverse" if selection == Selection(panel, index) else ""
