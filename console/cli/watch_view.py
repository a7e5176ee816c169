"""The screen of the live view, built from one snapshot and the selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from console.cli.output import counted_text, styled, words
from console.cli.strip import LEGEND, scale_line, strip_line
from console.cli.text import one_line
from console.operations.times import ago, span
from console.operations.verdict import cause_line, verdict_line
from console.operations.watching import Lane, Look
from console.words import in_words

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

PANELS = ("lanes", "running", "failed")
KEYS = (
    ("↑ ↓", "move the cursor"),
    ("tab", "next part of the screen"),
    ("Enter", "open the task"),
    ("space", "mark the task"),
    ("p", "pause or resume the backend"),
    ("c", "cancel the running task, or those marked"),
    ("r", "retry the failed task, or those marked"),
    ("?", "this list"),
    ("q", "back, or quit"),
)
HINT = "? keys   q quit   tab ↑↓ Enter   p pause   c cancel   r retry"
LEVEL_STYLES = {"ok": "bold green", "busy": "bold", "warn": "bold yellow", "bad": "bold red"}
CHROME_LINES = 15
LINES_OF_A_LANE = 2
WIDE, MIDDLE = 100, 70
"""From these widths on a table has all its columns, or most."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which panel has the keys, which of its rows, and which tasks are marked."""

    panel: str = "lanes"
    row: int = 0
    marked: frozenset[str] = frozenset()


def size_of(look: Look, panel: str) -> int:
    return len({"lanes": look.lanes, "running": look.running, "failed": look.failed}[panel])


def screen_of(
    look: Look, selection: Selection, *, message: str, height: int, width: int = 120
) -> RenderableType:
    """Fits ``height`` lines: running and failed tasks share what the lanes leave."""
    from rich.console import Group

    room = max(4, height - CHROME_LINES - LINES_OF_A_LANE * len(look.lanes))
    failed_rows = min(len(look.failed), max(2, room // 3))
    running_rows = max(2, room - failed_rows)
    tell = words()
    return Group(
        *_head(look, width),
        styled(""),
        *_lanes(look, selection, width),
        styled(""),
        _running(look, selection, rows=running_rows, width=width),
        styled(""),
        _failed(look, selection, rows=failed_rows, width=width),
        styled(""),
        _line(message, "yellow") if message else _line(tell(HINT), "dim"),
    )


def keys_screen() -> RenderableType:
    from rich.console import Group

    tell = words()
    lines = (styled(f"  {keys:<8}{tell(what)}") for keys, what in KEYS)
    return Group(styled(tell("Keys"), "bold"), styled(""), *lines)


def _head(look: Look, width: int) -> list[Text]:
    tell = words()
    line = verdict_line(look.verdict, look.at, tell)
    badges = "  ".join(map(tell, look.badges))
    counts = styled("")
    for state, count in sorted(look.counts.items()):
        if count:
            counts += counted_text(state) + styled(f" {count}   ")
    left = sum(look.counts.get(state, 0) for state in ("pending", "queued", "in_progress"))
    if left and look.finished_last_minute:
        counts += styled(f"{look.finished_last_minute}/" + in_words("min", tell) + "   ")
    if look.oldest_waits_since is not None:
        waited = in_words(span((look.at - look.oldest_waits_since).total_seconds()), tell)
        counts += styled(tell("the oldest waits {span}", span=waited), "dim")
    counts.no_wrap, counts.overflow = True, "ellipsis"
    lines = max(1, 160 // width)
    above = [_line(line, LEVEL_STYLES[look.verdict.level], lines=lines)]
    if cause := cause_line(look.verdict, tell):
        above.append(_line(cause, "", lines=lines))
    return [*above, *([_line(badges, "yellow")] if badges else []), counts]


def _lanes(look: Look, selection: Selection, width: int) -> list[Text]:
    longest = max((len(lane.backend) for lane in look.lanes), default=0)
    lines = []
    for index, lane in enumerate(look.lanes):
        lines.append(_lane(lane, longest, _style(selection, "lanes", index)))
        if look.strips is not None:
            segments = look.strips.lanes.get(lane.backend, ())
            lines.append(_line(strip_line(segments, look.strips, width=width), "cyan"))
    if look.strips is not None:
        lines.append(_line(scale_line(look.strips, width=width), "dim"))
        lines.append(_line(words()(LEGEND), "dim"))
    return lines


def _lane(lane: Lane, longest: int, style: str) -> Text:
    """The name first and whole, then what a narrow terminal can do without least."""
    tell = words()
    trouble = tell("paused") if lane.paused else tell(lane.trouble or "")
    colour = "yellow" if lane.paused else "red" if trouble else "green"
    parts = [f"{lane.running + lane.chats}/{lane.limit}{_chats(lane)}", trouble, _queue(lane)]
    parts += [lane.present, f"→ {lane.following}" if lane.following else ""]
    parts += [", ".join(lane.resident), "" if trouble else tell(lane.limit_reason)]
    rest = "  ".join(one_line(part) for part in parts if part)
    line = styled(lane.backend.ljust(longest), colour) + styled(f"  {rest}")
    line.no_wrap, line.overflow = True, "ellipsis"
    line.stylize(style)
    return line


def _running(look: Look, selection: Selection, *, rows: int, width: int) -> Table:
    names = ["RUNNING", "TITLE", "FOR"]
    names += ["PHASE", "TOKENS"] if width >= MIDDLE else []
    names += ["BACKEND", "MODEL"] if width >= WIDE else []
    table = _table(names, flexible="TITLE")
    tell = words()
    for index in _window(len(look.running), selection, "running", rows):
        task = look.running[index]
        elapsed = (look.at - task.started_at).total_seconds() if task.started_at else None
        cells = {
            "RUNNING": _mark(task.id, selection), "TITLE": one_line(task.title),
            "FOR": in_words(span(elapsed), tell), "PHASE": tell(task.progress.phase or "starting"),
            "TOKENS": str(task.progress.tokens or ""), "BACKEND": task.backend, "MODEL": task.model,
        }  # fmt: skip
        shown = (styled(cells[name]) for name in names)
        table.add_row(*shown, style=_style(selection, "running", index))
    return table


def _failed(look: Look, selection: Selection, *, rows: int, width: int) -> Table:
    names = ["FAILED", "TITLE", "WHEN"] + (["REASON"] if width >= MIDDLE else [])
    table = _table(names, flexible="REASON" if width >= MIDDLE else "TITLE")
    tell = words()
    for index in _window(len(look.failed), selection, "failed", rows):
        row = look.failed[index]
        cells = {
            "FAILED": _mark(row.id, selection),
            "TITLE": one_line(row.title or "", max_chars=width // 3),
            "WHEN": in_words(ago(row.completed_at, now=look.at), tell),
            "REASON": tell(one_line(row.last_error or "")),
        }
        shown = (styled(cells[name]) for name in names)
        table.add_row(*shown, style=_style(selection, "failed", index))
    return table


def _mark(task_id: str, selection: Selection) -> str:
    return ("*" if task_id in selection.marked else " ") + task_id[:8]


def _table(titles: Sequence[str], *, flexible: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", expand=True, padding=(0, 1, 0, 0))
    for title in titles:
        ratio = 1 if title == flexible else None
        table.add_column(words()(title), no_wrap=True, overflow="ellipsis", ratio=ratio)
    return table


def _line(text: str, style: str, *, lines: int = 1) -> Text:
    found = styled(text, style)
    found.no_wrap, found.overflow = lines == 1, "ellipsis"
    return found


def _chats(lane: Lane) -> str:
    return f", {words()('{n} chats', n=lane.chats)}" if lane.chats else ""


def _queue(lane: Lane) -> str:
    tell = words()
    found = [tell("{n} ready", n=lane.ready)] if lane.ready else []
    return ", ".join(found + ([tell("{n} dead", n=lane.dead)] if lane.dead else []))


def _window(count: int, selection: Selection, panel: str, rows: int) -> Sequence[int]:
    """The visible rows: those around the selected one."""
    selected = selection.row if selection.panel == panel else 0
    start = max(0, min(selected - rows + 1, count - rows)) if selected >= rows else 0
    return range(start, min(count, start + rows))


def _style(selection: Selection, panel: str, index: int) -> str:
    return "reverse" if (selection.panel, selection.row) == (panel, index) else ""
