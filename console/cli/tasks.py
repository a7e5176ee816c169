"""``kos tasks``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command, Word, complete_backends, json_option
from console.cli.output import (
    Column,
    note,
    print_json,
    print_table,
    state_text,
    words,
)
from jobs.process.clock import utc_now
from models.states import Priority, TaskState
from models.task_filter import TaskFilter

if TYPE_CHECKING:
    from models.task_rows import ListedTask

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
REASON = Column("REASON", flexible=True, spoken=True)
STATES = tuple(state.value for state in TaskState)
FILTERS = {
    "backend": "Only those planned or run there.",
    "model": "Only those planned for or run by this model.",
    "expert": "Only this expert's, by name.",
    "category": "Only of this category.",
    "tag": "Only with this tag in metadata.tags.",
    "project": "Only of this project, by metadata.project.",
    "error": "Only with this text in the last error.",
    "search": "Only with these words in title, description or answer; also an id or custom_id.",
    "code": "Only with a failed attempt of this class in the last day, such as echo.",
    "batch": "Only of this batch, by its id.",
}
PRIORITIES = tuple(priority.value for priority in Priority)


def since_option(function: Any) -> Any:
    return click.option(
        "--since", metavar="TIME", help="Created since: 10m, 2h, 3d, today or an ISO time."
    )(function)


def filter_options(function: Any) -> Any:
    """The options that choose tasks, the same for every command; see :func:`chosen_by`."""
    for name, help_text in reversed(FILTERS.items()):
        complete = complete_backends if name == "backend" else None
        function = click.option(
            f"--{name}", metavar="TEXT", help=help_text, shell_complete=complete
        )(function)
    function = since_option(function)
    return click.option(
        "--status", "statuses", type=Word(STATES), multiple=True, help="Only these; may repeat."
    )(function)


def chosen_by(app: App, options: dict[str, Any]) -> TaskFilter:
    """The value of :func:`filter_options`; raises InvalidInput for a backend that is a slip."""
    _check_backend(app, options["backend"])
    texts: dict[str, Any] = {name: options[name] or None for name in FILTERS}
    return TaskFilter(
        statuses=tuple(options["statuses"]), since=since_moment(options["since"]), **texts
    )


def since_moment(written: str | None) -> datetime | None:
    from console.operations.times import parse_since

    return parse_since(written, now=utc_now().astimezone()) if written else None


@click.command(
    cls=Command,
    examples=(
        ("kos tasks", "the newest fifty"),
        ("kos tasks --status failed --since 2h", "what failed in the last two hours, and why"),
        ("kos tasks --status pending --status queued --json | jq length", "how many wait"),
    ),
)
@filter_options
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@click.option("--offset", type=click.IntRange(0), default=0, hidden=True)
@json_option
@pass_app
def tasks_command(app: App, /, limit: int, offset: int, as_json: bool, **filters: Any) -> None:
    """List tasks, newest first."""
    from models import task_views
    from models.task_filter import LITERAL_AMONG, has_words

    chosen = chosen_by(app, filters)
    with app.database():
        rows = task_views.listing(chosen, limit=limit, offset=offset)
        among = 0 if not chosen.search or has_words(chosen.search) else LITERAL_AMONG
    if as_json:
        print_json(rows)
        return
    empty = 'No tasks yet: try `kos submit "..."`.' if chosen.is_empty else "No task matches."
    if chosen.statuses == (TaskState.FAILED.value,):
        table = [[*line, row.last_error] for line, row in zip(cells(rows), rows, strict=True)]
        print_table((*COLUMNS, REASON), table, empty=empty)
    else:
        print_table(COLUMNS, cells(rows), empty=empty)
    if among:
        note(f"Such a text is nearly everywhere: only the newest {among} tasks were searched.")
    if len(rows) == limit:
        note(f"The newest {limit}; `--limit` shows more.")


def cells(rows: Sequence[ListedTask]) -> list[list[Any]]:
    from console.cli.text import one_line
    from console.operations.ids import short
    from console.operations.times import ago
    from console.words import in_words

    ids, now = [row.id for row in rows], utc_now()
    return [
        [
            short(row.id, among=ids),
            state_text(row.status),
            words()(row.priority),
            one_line(row.title or "", max_chars=120),
            row.expert,
            row.backend,
            row.model,
            row.attempt_count or "",
            in_words(ago(row.created_at, now=now), words()),
        ]
        for row in rows
    ]


def _check_backend(app: App, backend: str | None) -> None:
    """Raises InvalidInput for a misspelt backend. Rows may still name one that is no longer
    configured."""
    from console.operations.errors import InvalidInput, near

    names = [spec.name for spec in app.settings.backends]
    if backend is None or backend in names:
        return
    hint = near(backend, names)
    if hint.startswith("did you mean"):
        raise InvalidInput(f"backend {backend!r} is not configured; {hint}")
