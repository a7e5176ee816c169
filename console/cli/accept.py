"""``kos accept``: the answer of an attempt becomes the result."""

from __future__ import annotations

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command, json_option
from console.cli.output import print_json, say


@click.command(
    cls=Command,
    examples=(
        ("kos accept 3f2a91", "the best answer that was rejected"),
        ("kos accept 3f2a91 2", "the answer of the second attempt"),
    ),
)
@click.argument("task", metavar="ID")
@click.argument("attempt", metavar="[ATTEMPT]", type=click.IntRange(min=1), required=False)
@json_option
@pass_app
def accept_command(app: App, task: str, attempt: int | None, as_json: bool) -> None:
    """Take an answer as the result, whatever the judge said of it. The task must not run."""
    from console.operations import ids, tasks

    with app.database():
        task_id = ids.resolve(task)
        document = {"task": task_id, **tasks.accept(task_id, attempt)}
    if as_json:
        print_json(document)
    else:
        say(f"completed with the answer of attempt {document['accepted']}")
