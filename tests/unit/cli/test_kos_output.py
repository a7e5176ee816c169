from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from rich.console import Console

from console.cli.output import Column, dump, print_table, state_text, table

COLUMNS = (Column("ID"), Column("MODEL", min_width=100), Column("TITLE", flexible=True))


def drawn(width: int, *, colour: bool = False) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, force_terminal=colour, color_system="standard" if colour else None
    )
    rows: list[list[object]] = [
        ["3f2a", "qwen", "a very long title " * 20],
        ["9b11", None, state_text("failed")],
    ]
    console.print(table(COLUMNS, rows, width=width, fit=True))
    return stream.getvalue()


def test_a_table_fits_the_width_and_leaves_out_what_is_less_important() -> None:
    narrow, wide = drawn(60), drawn(140)

    assert all(len(line) <= 60 for line in narrow.splitlines())
    assert all(len(line) <= 140 for line in wide.splitlines())
    assert "MODEL" not in narrow
    assert "MODEL" in wide
    assert "…" in narrow


def test_colour_is_for_terminals_alone() -> None:
    assert "\x1b[31m" in drawn(80, colour=True)
    assert "\x1b" not in drawn(80)


def test_markup_in_a_title_is_text(capsys: object) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=80)

    console.print(table((Column("TITLE"),), [["[red]not[/red] :smile:"]], width=80, fit=False))

    assert "[red]not[/red] :smile:" in stream.getvalue()


def test_an_empty_table_says_what_to_do(capsys: object) -> None:
    print_table(COLUMNS, [], empty="No tasks yet: try `kos submit`.")

    assert "No tasks yet" in capsys.readouterr().out  # type: ignore[attr-defined]


def test_json_holds_times_ids_and_russian() -> None:
    value = {
        "at": datetime(2026, 3, 14, tzinfo=UTC),
        "id": UUID(int=1),
        "path": Path("/x"),
        "set": frozenset({"b", "a"}),
        "text": "отчёт",
    }

    assert json.loads(dump(value)) == {
        "at": "2026-03-14T00:00:00+00:00",
        "id": "00000000-0000-0000-0000-000000000001",
        "path": "/x",
        "set": ["a", "b"],
        "text": "отчёт",
    }
