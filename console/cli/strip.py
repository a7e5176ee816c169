"""A lane by time in one line of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from console.operations.strip import Segment, Strips
from console.operations.times import span

FILLS: Mapping[str, str] = {"past": "░", "running": "█", "planned": "▓", "load": "▞", "chat": "┈"}
IDLE, NOW = "·", "│"
SHORTEST_LABEL = 4
LEGEND = "░ past  │ now  █ running  ▓ planned  ▞ load  · idle"


def strip_line(segments: Sequence[Segment], strips: Strips, *, width: int) -> str:
    """``width`` characters from ``strips.since`` to ``strips.until``; the model and the number of
    tasks stand in a block where there is room."""
    cells = [IDLE] * width
    whole = strips.until - strips.since

    def column(seconds: float) -> int:
        return min(width, max(0, round((seconds - strips.since) / whole * width)))

    for one in segments:
        first = min(column(one.start), width - 1)
        last = max(first + 1, column(one.end))
        cells[first:last] = FILLS[one.kind] * (last - first)
        label = f"{one.model} {one.tasks}" if one.tasks else ""
        room = last - first - 2
        if label and room >= SHORTEST_LABEL:
            cut = label if len(label) <= room else _cut(one, room)
            cells[first + 1 : first + 1 + len(cut)] = cut
    cells[min(width - 1, column(0.0))] = NOW
    return "".join(cells)


def scale_line(strips: Strips, *, width: int) -> str:
    """Below the strips: now, and the end of what is shown."""
    now = min(width - 1, round(-strips.since / (strips.until - strips.since) * width))
    end = f"+{span(strips.until)}"
    left = (" " * now + "now")[:width]
    return left + " " * max(1, width - len(left) - len(end)) + end


def _cut(one: Segment, room: int) -> str:
    """The number is worth more than the end of a name."""
    number = f" {one.tasks}"
    kept = room - len(number) - 1
    return f"{one.model[:kept]}…{number}" if kept > 0 else ""
