"""``kos backup`` and ``kos restore``."""

from __future__ import annotations

from pathlib import Path

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command, json_option
from console.cli.output import note, print_json, say


@click.command(
    cls=Command,
    examples=(("kos backup tasks.dump", "the whole database in one file, known to restore"),),
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
@pass_app
def backup_command(app: App, file: Path, as_json: bool) -> None:
    """Write the database into the new FILE (format of pg_dump -Fc), and try to restore it.

    The system may run meanwhile. FILE is complete or absent, and is never overwritten.
    """
    from rich.filesize import decimal

    from console.operations.backup import back_up

    made = back_up(app.settings, file.absolute())
    rows = sum(made.rows.values())
    if as_json:
        document = {"file": str(made.file), "bytes": made.size_bytes, "rows": dict(made.rows)}
        print_json({**document, "compared": made.compared})
        return
    say(f"{made.file}: {decimal(made.size_bytes)}, {len(made.rows)} tables, {rows} rows")
    if made.compared:
        say("restored into a scratch database and compared: equal", "green")
    else:
        note("not tried: this role may not make a database (ALTER ROLE ... CREATEDB)", "yellow")


@click.command(
    cls=Command,
    examples=(
        ("kos restore tasks.dump", "into a home that has no tables yet"),
        ("kos down && kos restore tasks.dump --replace && kos up", "go back to that moment"),
    ),
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--replace", is_flag=True, help="Drop the tables that are there now.")
@json_option
@pass_app
def restore_command(app: App, file: Path, replace: bool, as_json: bool) -> None:
    """Make the database what FILE holds. The system must be stopped (kos down).

    All or nothing: a FILE that does not restore changes nothing.
    """
    from console.operations.backup import restore

    rows = restore(app.settings, file.absolute(), replace=replace)
    if as_json:
        print_json({"rows": rows})
        return
    say(f"{len(rows)} tables, {sum(rows.values())} rows restored; next: kos up", "green")
