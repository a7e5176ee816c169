"""``kos tasks``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command, Word, complete_backends, json_option
from console.cli.output import (
    Column,
    note,
    now_utc,
    print_json,
    print_table,
    state_text,
)
from models.states import Priority, TaskState

COLUMNS = (
    Column("ID"),
    Column("STATUS"),
    Column("PRIORITY", min_width=100),
    Column("TITLE", flexible=True),
    Column("EXPERT", min_width=110),
    Column("BACKEND", min_width=70),
    Column("MODEL", min_width=130),
    Column("TRIES", justify="right", min_width=90),
    Column("AGE", justify="right"),
)
STATES = tuple(state.value for state in TaskState)
PRIORITIES = tuple(priority.value for priority in Priority)


def since_option(function: Any) -> Any:
    return click.option(
        "--since", metavar="TIME", help="Created since: 10m, 2h, 3d, today or an ISO time."
    )(function)


def status_option(function: Any) -> Any:
    return click.option(
        "--status", "statuses", type=Word(STATES), multiple=True, help="Only these; may repeat."
    )(function)


def since_moment(written: str | None) -> datetime | None:
    from console.operations.times import parse_since

    return parse_since(written, now=now_utc()) if written else None


@click.command(
    cls=Command,
    examples=(
        ("kos tasks", "the newest fifty"),
        ("kos tasks --status failed --since 2h", "what failed in the last two hours"),
        ("kos tasks --status pending --status queued --json | jq length", "how many wait"),
    ),
)
@status_option
@click.option(
    "--backend",
    metavar="NAME",
    help="Only those planned or run there.",
    shell_complete=complete_backends,
)
@since_option
@click.option("--search", metavar="TEXT", help="Only with this text in title or description.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@click.option("--offset", type=click.IntRange(0), default=0, hidden=True)
@json_option
@pass_app
def tasks_command(
    app: App,
    statuses: tuple[str, ...],
    backend: str | None,
    since: str | None,
    search: str | None,
    limit: int,
    offset: int,
    as_json: bool,
) -> None:
    """List tasks, newest first."""
    from console.operations import tasks

    moment = since_moment(since)
    _check_backend(app, backend)
    with app.database():
        rows = tasks.listed(
            statuses=statuses,
            backend=backend,
            since=moment,
            search=search,
            limit=limit,
            offset=offset,
        )
    if as_json:
        print_json(rows)
        return
    filtered = bool(statuses or backend or since or search)
    empty = "No task matches." if filtered else 'No tasks yet: try `kos submit "..."`.'
    print_table(COLUMNS, cells(rows), empty=empty)
    if len(rows) == limit:
        note(f"The newest {limit}; `--limit` shows more.")


def cells(rows: list[dict[str, Any]]) -> list[list[Any]]:
    from console.cli.text import one_line
    from console.operations.ids import short
    from console.operations.times import ago

    ids, now = [row["id"] for row in rows], now_utc()
    return [
        [
            short(row["id"], among=ids),
            state_text(row["status"]),
            row["priority"],
            one_line(row["title"] or "", max_chars=120),
            row["expert"],
            row["backend"],
            row["model"],
            row["attempt_count"] or "",
            ago(row["created_at"], now=now),
        ]
        for row in rows
    ]


def _check_backend(app: App, backend: str | None) -> None:
    """A backend that is no longer configured may still stand in rows: only a near miss is told."""
    from console.operations.errors import BadInput, near

    names = [spec.name for spec in app.settings.backends]
    if backend is None or backend in names:
        return
    hint = near(backend, names)
    if hint.startswith("did you mean"):
        raise BadInput(f"backend {backend!r} is not configured; {hint}")
