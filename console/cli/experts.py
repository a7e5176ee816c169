"""``kos experts``."""

from __future__ import annotations

from typing import Any, BinaryIO

import click

from console.cli.app import App, pass_app
from console.cli.error_mapping import DONE, WRONG
from console.cli.framework import Command, Group, json_option
from console.cli.output import Column, note, print_json, print_table, say

COLUMNS = (
    Column("NAME"),
    Column("DEPARTMENT", min_width=60),
    Column("ROLE", flexible=True, min_width=90),
    Column("ACTIVE"),
    Column("OPEN", justify="right"),
    Column("COMPLETED", justify="right"),
    Column("FAILED", justify="right"),
)


@click.group(
    name="experts",
    cls=Group,
    invoke_without_command=True,
    examples=(
        ("kos experts", "who there is, with what load"),
        ("kos experts add --from examples/experts.jsonl", "add those that are missing"),
    ),
)
@json_option
@click.pass_context
def experts_command(context: click.Context, as_json: bool) -> None:
    """The experts with their load. Without a subcommand: list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_command, as_json=as_json)


@experts_command.command("list", cls=Command, examples=(("kos experts list --json", "as JSON"),))
@json_option
@pass_app
def list_command(app: App, as_json: bool) -> None:
    """List the experts with their open, completed and failed tasks."""
    from console.operations import experts

    with app.database():
        rows = experts.listed()
    if as_json:
        print_json(rows)
        return
    cells: list[list[Any]] = [
        [
            row["name"],
            row["department"],
            row["role"],
            "yes" if row["active"] else "no",
            row["open"],
            row["completed"],
            row["failed"],
        ]
        for row in rows
    ]
    empty = "No experts yet: `kos experts add --from examples/experts.jsonl` adds some."
    print_table(COLUMNS, cells, empty=empty)


@experts_command.command(
    "add",
    cls=Command,
    examples=(("kos experts add --from experts.jsonl", "a line is an object, see docs/cli.md"),),
)
@click.option(
    "--from",
    "source",
    type=click.File("rb"),
    required=True,
    metavar="FILE|-",
    help="JSONL with name, role, department, system_prompt.",
)
@json_option
@pass_app
def add_command(app: App, source: BinaryIO, as_json: bool) -> int:
    """Add experts from a JSONL file; those that are there already stay as they are."""
    from console.operations import experts
    from console.operations.submission_lines import read_lines

    with app.database():
        document = experts.add(read_lines(source))
    if as_json:
        print_json(document)
    else:
        say(f"{document['added']} added, {document['existing']} were there already")
        for entry in document["rejected"]:
            note(f"line {entry['line']}: {entry['error']}", "red")
    return WRONG if document["rejected"] else DONE
