"""``kos export``."""

from __future__ import annotations

import sys

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command
from console.cli.output import dump, note
from console.cli.tasks import since_moment, since_option, status_option


@click.command(
    cls=Command,
    examples=(
        ("kos export > tasks.jsonl", "everything, oldest first"),
        ("kos export --status completed --since today | jq -r .result", "today's answers"),
    ),
)
@status_option
@since_option
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of JSONL.")
@pass_app
def export_command(app: App, statuses: tuple[str, ...], since: str | None, as_json: bool) -> None:
    """Write tasks as JSONL to stdout, one a line, with the fields of `kos tasks --json`."""
    from models.task_views import exported

    moment = since_moment(since)
    count = 0
    write = sys.stdout.write
    with app.database():
        if as_json:
            write("[")
        for row in exported(statuses=statuses, since=moment):
            write((", " if as_json and count else "") + dump(row) + ("" if as_json else "\n"))
            count += 1
        if as_json:
            write("]\n")
    if not sys.stdout.isatty() and sys.stderr.isatty():
        note(f"{count} tasks written")
