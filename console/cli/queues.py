"""``kos queues``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from console.cli.app import App, pass_app
from console.cli.error_mapping import DONE, WRONG
from console.cli.framework import Command, Group, complete_queues, json_option
from console.cli.output import (
    Column,
    note,
    print_json,
    print_table,
    say,
    state_text,
)
from jobs.process.clock import utc_now

if TYPE_CHECKING:
    from console.operations.queue_actions import Part
    from console.operations.queues import Where

PARTS: tuple[Where, ...] = ("ready", "delayed", "dead")
COLUMNS = (
    Column("QUEUE"),
    Column("READY", justify="right"),
    Column("IN FLIGHT", justify="right"),
    Column("DELAYED", justify="right"),
    Column("DEAD", justify="right"),
    Column("CONSUMERS", justify="right"),
    Column("OLDEST", justify="right", min_width=70),
)
MESSAGE_COLUMNS = (
    Column("MESSAGE"),
    Column("WHERE"),
    Column("ACTOR"),
    Column("TASK"),
    Column("STATUS", min_width=80),
    Column("AGE", justify="right"),
    Column("ERROR", flexible=True, min_width=70),
)


@click.group(
    name="queues",
    cls=Group,
    invoke_without_command=True,
    examples=(
        ("kos queues", "every queue, and where Redis and Postgres differ"),
        ("kos queues show llm-ollama --dead", "its dead letters, each with its task"),
        ("kos queues requeue llm-ollama", "send its dead letters again"),
        ("kos queues purge llm-ollama --dead --yes", "drop them"),
    ),
)
@json_option
@click.pass_context
def queues_command(context: click.Context, as_json: bool) -> None:
    """The broker's queues in Redis. Without a subcommand: list them.

    Redis only wakes workers: deleting messages loses no task, recovery sends them again.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_command, as_json=as_json)


@queues_command.command("list", cls=Command)
@json_option
@pass_app
def list_command(app: App, as_json: bool) -> None:
    """List the queues with what is ready, in flight, delayed and dead."""
    from console.operations import queues
    from console.operations.queue_differences import differences
    from console.operations.times import span
    from models.task_figures import queued_by_backend

    names, now = queues.names(app.settings), utc_now()
    rows = queues.overview(app.redis, names, now=now)
    if as_json:
        print_json(rows)
        return
    oldest = {name: queues.oldest_ready_seconds(app.redis, name, now=now) for name in names}
    cells: list[list[Any]] = [
        [row.queue, row.ready, row.in_flight, row.delayed, row.dead, row.consumers,
         span(oldest[row.queue])]
        for row in rows
    ]  # fmt: skip
    print_table(COLUMNS, cells, empty="No queues.")
    with app.database():
        rows_by_backend = queued_by_backend()
    for line in differences(rows, rows_by_backend):
        note(line, "yellow")


@queues_command.command(
    "show", cls=Command, examples=(("kos queues show llm-mlx --dead", "the newest dead first"),)
)
@click.argument("queue", shell_complete=complete_queues)
@click.option("--ready", "where", flag_value="ready", help="Only those not yet taken.")
@click.option("--delayed", "where", flag_value="delayed", help="Only delayed ones.")
@click.option("--dead", "where", flag_value="dead", help="Only dead letters.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@json_option
@pass_app
def show_command(app: App, queue: str, where: str | None, limit: int, as_json: bool) -> None:
    """The messages of one queue, each with its task."""
    from console.operations import queues
    from console.operations.documents import fields_of
    from console.operations.times import span
    from models import task_views

    name, now = queues.checked_name(queue, queues.names(app.settings)), utc_now()
    parts = [part for part in PARTS if where in (None, part)]
    found = [queues.messages(app.redis, name, where=part, limit=limit, now=now) for part in parts]
    rows = [row for part in found for row in part]
    with app.database():
        statuses = task_views.statuses_of([row.task for row in rows if row.task])
    if as_json:
        print_json(
            [{**fields_of(row), "task_status": statuses.get(row.task or "")} for row in rows]
        )
        return
    cells: list[list[Any]] = [
        [
            row.id,
            row.where,
            row.actor,
            (row.task or "")[:8],
            state_text(statuses.get(row.task or "")),
            span(row.age_seconds),
            row.error,
        ]
        for row in rows
    ]
    print_table(MESSAGE_COLUMNS, cells, empty=f"{name} is empty.")


@queues_command.command(
    "requeue", cls=Command, examples=(("kos queues requeue llm-mlx", "all its dead letters"),)
)
@click.argument("queue", shell_complete=complete_queues)
@click.argument("messages", metavar="[MESSAGE]...", nargs=-1)
@json_option
@pass_app
def requeue_command(app: App, queue: str, messages: tuple[str, ...], as_json: bool) -> int:
    """Send dead letters again, all or the named ones."""
    from console.operations import queue_actions, queues

    name = queues.checked_name(queue, queues.names(app.settings))
    count = queue_actions.requeue(app.redis, name, messages or None)
    return _done("requeued", name, count, wanted=len(messages), as_json=as_json)


@queues_command.command(
    "delete", cls=Command, examples=(("kos queues delete llm-mlx 5f0c...", "one message"),)
)
@click.argument("queue", shell_complete=complete_queues)
@click.argument("messages", metavar="MESSAGE...", nargs=-1, required=True)
@json_option
@pass_app
def delete_command(app: App, queue: str, messages: tuple[str, ...], as_json: bool) -> int:
    """Delete ready or dead messages by id, as `kos queues show` names them."""
    from console.operations import queue_actions, queues

    name = queues.checked_name(queue, queues.names(app.settings))
    count = queue_actions.delete(app.redis, name, messages)
    return _done("deleted", name, count, wanted=len(messages), as_json=as_json)


@queues_command.command(
    "purge",
    cls=Command,
    examples=(
        ("kos queues purge llm-mlx --dead", "after asking"),
        ("kos queues purge llm-mlx --ready --yes", "without; recovery sends them again"),
    ),
)
@click.argument("queue", shell_complete=complete_queues)
@click.option("--ready", "part", flag_value="ready", help="What is not yet taken.")
@click.option("--dead", "part", flag_value="dead", help="Dead letters.")
@click.option("--all", "part", flag_value="all", help="Both.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_app
def purge_command(app: App, queue: str, part: Part | None, yes: bool, as_json: bool) -> int:
    """Delete every ready or dead message of a queue."""
    from console.operations import queue_actions, queues

    name = queues.checked_name(queue, queues.names(app.settings))
    if part is None:
        raise click.UsageError("say what to delete: --ready, --dead or --all")
    if not yes:
        click.confirm(f"Delete the messages ({part}) of {name}?", abort=True, err=True)
    count = queue_actions.purge(app.redis, name, part=part)
    return _done("deleted", name, count, wanted=0, as_json=as_json)


def _done(what: str, queue: str, count: int, *, wanted: int, as_json: bool) -> int:
    if as_json:
        print_json({"queue": queue, what: count})
    else:
        say(f"{count} {what}")
    if count < wanted:
        note(f"kos: {wanted - count} of the named messages are not in {queue}", "red")
        return WRONG
    return DONE
