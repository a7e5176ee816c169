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
        ("kos accept 3f2a91 --run 9b11c4", "the answer of another run of it, see `kos retry`"),
    ),
)
@click.argument("task", metavar="ID")
@click.argument("attempt", metavar="[ATTEMPT]", type=click.IntRange(min=1), required=False)
@click.option("--run", metavar="ID", help="A completed run of it by `kos retry --model ...`.")
@json_option
@pass_app
def accept_command(
    app: App, task: str, attempt: int | None, run: str | None, as_json: bool
) -> None:
    """Take an answer as the result, whatever the judge said of it. The task must not run."""
    from console.operations import answers, ids, tasks

    if run is not None and attempt is not None:
        raise click.UsageError("name an attempt or --run, not both")
    with app.database():
        task_id = ids.resolve(task)
        if run is not None:
            run_id = ids.resolve(run)
            answers.keep_result(task_id, run_id)
            document: dict[str, object] = {"task": task_id, "accepted_run": run_id}
        else:
            document = {"task": task_id, "accepted": tasks.accept(task_id, attempt).accepted}
    if as_json:
        print_json(document)
    elif run is not None:
        say(f"completed with the answer of {run_id[:8]}")
    else:
        say(f"completed with the answer of attempt {document['accepted']}")
