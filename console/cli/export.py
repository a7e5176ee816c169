"""``kos export``."""

from __future__ import annotations

import sys
from typing import Any

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command
from console.cli.output import dump, note
from console.cli.tasks import chosen_by, filter_options


@click.command(
    cls=Command,
    examples=(
        ("kos export > tasks.jsonl", "everything, oldest first"),
        ("kos export --status completed --since today | jq -r .result", "today's answers"),
    ),
)
@filter_options
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of JSONL.")
@pass_app
def export_command(app: App, /, as_json: bool, **filters: Any) -> None:
    """Write tasks as JSONL to stdout, one a line, with the fields of `kos tasks --json`."""
    from models.task_views import exported

    chosen = chosen_by(app, filters)
    count = 0
    write = sys.stdout.write
    with app.database():
        if as_json:
            write("[")
        for row in exported(chosen):
            write((", " if as_json and count else "") + dump(row) + ("" if as_json else "\n"))
            count += 1
        if as_json:
            write("]\n")
    if not sys.stdout.isatty() and sys.stderr.isatty():
        note(f"{count} tasks written")
