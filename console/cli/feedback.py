"""``kos feedback``."""

from __future__ import annotations

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command, Group, Word, json_option
from console.cli.output import Column, print_json, print_table, say

COLUMNS = (Column("NAME", flexible=True), Column("UP", justify="right"), Column("DOWN"))


@click.group(
    name="feedback",
    cls=Group,
    invoke_without_command=True,
    examples=(
        ('kos feedback give 3f2a91 down --note "missed the second file"', "of its answer"),
        ("kos export | jq 'select(.thumb)'", "all that was given, with task and answer"),
    ),
)
@json_option
@click.pass_context
def feedback_command(context: click.Context, as_json: bool) -> None:
    """What people think of answers. Without a subcommand: totals by expert and model."""
    if context.invoked_subcommand is None:
        context.invoke(list_command, as_json=as_json)


@feedback_command.command("list", cls=Command)
@json_option
@pass_app
def list_command(app: App, as_json: bool) -> None:
    """Thumbs up and down by expert and by model."""
    from console.operations import answers

    with app.database():
        found = answers.thumbs()
    if as_json:
        print_json(found)
        return
    for title, rows in (("experts", found.experts), ("models", found.models)):
        cells = [[row.name or "(none)", row.up, row.down] for row in rows]
        print_table(COLUMNS, cells, empty=f"{title}: none yet", title=title)


@feedback_command.command("give", cls=Command)
@click.argument("task", metavar="ID")
@click.argument("thumb", type=Word(("up", "down")), metavar="up|down")
@click.option("--note", default="", metavar="TEXT", help="Why.")
@pass_app
def give_command(app: App, task: str, thumb: str, note: str) -> None:
    """Say what you think of the answer of ID; replaces what was said before."""
    from console.operations import answers, ids

    with app.database():
        answers.give_thumb(ids.resolve(task), thumb, note)
    say(f"kept: {thumb}")


@feedback_command.command("withdraw", cls=Command)
@click.argument("task", metavar="ID")
@pass_app
def withdraw_command(app: App, task: str) -> None:
    """Take back what was said of the answer of ID."""
    from console.operations import answers, ids

    with app.database():
        answers.give_thumb(ids.resolve(task), None)
    say("withdrawn")
