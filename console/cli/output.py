"""What commands print: one JSON document, or tables and lines for people."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from console.cli.text import one_line, safe
from console.operations.documents import document
from console.words import COUNTED, LANGUAGES, Words, words_for

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

WIDE = 10_000
STATE_STYLES = {
    "completed": "green",
    "failed": "red",
    "cancelled": "yellow",
    "in_progress": "cyan",
    "queued": "blue",
    "RUNNING": "green",
    "STOPPED": "yellow",
    "STARTING": "cyan",
    "BACKOFF": "red",
    "FATAL": "red",
    "EXITED": "red",
}


@cache
def words() -> Words:
    """The language of this call."""
    return words_for(language_of(os.environ))


def language_of(environ: Mapping[str, str]) -> str:
    """``KOS_LANG``, else the locale of the terminal; English where we do not speak it."""
    names = ("KOS_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
    written = next((environ[name] for name in names if environ.get(name)), "")
    language = written[:2].lower()
    return language if language in LANGUAGES else "en"


def print_json(value: Any) -> None:
    """One document on stdout; indented for people, on one line for programs."""
    indent = 2 if sys.stdout.isatty() else None
    sys.stdout.write(dump(value, indent=indent) + "\n")


def dump(value: Any, *, indent: int | None = None) -> str:
    """JSON with times in ISO 8601, ids as text, and dataclasses as objects."""
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    return json.dumps(value, default=_plain, ensure_ascii=ascii_only, indent=indent)


def screen(*, stderr: bool = False) -> Console:
    """The terminal: colour only where it is one, wide lines kept whole where it is none."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDE
    return Console(
        file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False
    )


@dataclass(frozen=True, slots=True)
class Column:
    """``min_width`` is the least terminal width with this column. ``spoken``: its cells are
    sentences of ours and are translated, which names and titles are not."""

    title: str
    justify: Literal["left", "right"] = "left"
    flexible: bool = False
    min_width: int = 0
    spoken: bool = False


def print_table(
    columns: Sequence[Column], rows: Iterable[Sequence[Any]], *, empty: str, title: str = ""
) -> None:
    """A table that fits the terminal; ``empty`` is what to say, and to do, without rows."""
    console = screen()
    found = list(rows)
    if title:
        console.print(styled(words()(title), "bold"))
    if not found:
        console.print(styled(words()(empty), "dim"))
        return
    console.print(table(columns, found, width=console.width, fit=console.is_terminal))


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[Any]], *, width: int, fit: bool
) -> Table:
    from rich.table import Table

    visible = [index for index, column in enumerate(columns) if column.min_width <= width]
    flexible = any(columns[index].flexible for index in visible)
    grid = Table(
        box=None, pad_edge=False, header_style="bold", expand=fit and flexible, padding=(0, 2, 0, 0)
    )
    for index in visible:
        column = columns[index]
        ratio = 1 if column.flexible and fit else None
        grid.add_column(
            words()(column.title),
            justify=column.justify,
            no_wrap=True,
            overflow="ellipsis",
            ratio=ratio,
        )
    for row in rows:
        grid.add_row(*(_cell(row[index], columns[index]) for index in visible))
    return grid


def styled(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(safe(text), style=style)


def state_text(state: str | None) -> Text:
    return styled(words()(state or ""), STATE_STYLES.get(state or "", ""))


def counted_text(state: str) -> Text:
    """Beside a count: what ended is counted since the first task, the rest now."""
    return styled(words()(COUNTED.get(state, state)), STATE_STYLES.get(state, ""))


def say(text: str, style: str = "", *, ours: bool = True) -> None:
    """A line for people on stdout; in their language where the words are ``ours``."""
    screen().print(styled(words()(text) if ours else text, style), soft_wrap=True)


def note(text: str, style: str = "dim") -> None:
    """A line for people on stderr, beside a JSON document or a stream."""
    screen(stderr=True).print(styled(words()(text), style), soft_wrap=True)


def _cell(value: Any, column: Column) -> Text:
    from rich.text import Text

    if isinstance(value, Text):
        return value
    text = "" if value is None else str(value)
    return Text(one_line(words()(text) if column.spoken else text))


def _plain(value: Any) -> Any:
    fields = document(value)
    if fields is not None:
        return fields
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID | Path):
        return str(value)
    if isinstance(value, frozenset | set):
        return sorted(value)
    if isinstance(value, tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
