"""One task over the live view: its present state, its timeline, its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from console.cli.output import state_text, styled, words
from console.cli.text import one_line
from console.operations.lanes import SlotUse
from console.operations.outlook import QueuePosition
from models.decision import RecordedDecision
from models.task_rows import WholeTask

if TYPE_CHECKING:
    from rich.console import RenderableType

ANSWER_LINES = 12


def task_screen(
    row: WholeTask,
    decisions: Sequence[RecordedDecision],
    parents: Mapping[str, str],
    position: QueuePosition | None,
    *,
    slots: SlotUse | None,
    now: datetime,
    height: int,
) -> RenderableType:
    """Fits ``height`` lines; the newest part of the timeline is kept."""
    from rich.console import Group

    from console.operations.timeline import events_of, standing

    tell = words()
    lines = [
        styled(one_line(row.title or row.id), "bold"),
        state_text(row.status) + styled(f"  {row.id}", "dim"),
        styled(tell(standing(row, parents, now=now, position=position, slots=slots))),
        styled(""),
    ]
    answer = (row.result or "").splitlines()[:ANSWER_LINES]
    timeline_lines = [
        styled(f"{event.at.astimezone():%H:%M:%S}  {tell(event.what)}")
        for event in events_of(row, decisions)
    ]
    room = max(3, height - len(lines) - len(answer) - 4)
    lines += timeline_lines[-room:]
    if answer:
        lines += [styled(""), styled(tell("Answer"), "bold"), *map(styled, answer)]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(*lines, styled(""), styled(tell("q goes back"), "dim"))
