"""``kos webhooks``."""

from __future__ import annotations

from dataclasses import asdict

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command, Group, json_option
from console.cli.output import Column, print_json, print_table, say
from jobs.policy.webhooks import EVENTS

COLUMNS = (
    Column("NAME"),
    Column("LEADS TO", flexible=True),
    Column("EVENTS", flexible=True),
    Column("PENDING"),
    Column("LAST", flexible=True),
)
DELIVERIES = (
    Column("AT"),
    Column("EVENT"),
    Column("STATE"),
    Column("TRIES"),
    Column("PROBLEM", flexible=True),
)


@click.group(
    name="webhooks",
    cls=Group,
    invoke_without_command=True,
    examples=(
        (
            "kos webhooks add ci https://ci.example.com/hook --event batch.done",
            "tell it when a batch is done; its secret is shown once",
        ),
        ("kos webhooks test ci", "send a test event now"),
    ),
)
@json_option
@click.pass_context
def webhooks_command(context: click.Context, as_json: bool) -> None:
    """Addresses that are told what happened. Without a subcommand: list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_command, as_json=as_json)


@webhooks_command.command("list", cls=Command)
@json_option
@pass_app
def list_command(app: App, as_json: bool) -> None:
    """List the webhooks with their newest delivery."""
    from console.operations import webhooks
    from models import webhook

    with app.database():
        listed = webhook.listed()
    if as_json:
        print_json([webhooks.as_document(one) for one in listed])
        return
    cells = [
        [one.name, webhooks.leads_to(one), ", ".join(one.events), one.pending,
         ": ".join(filter(None, [one.last_state, one.last_problem]))]
        for one in listed
    ]  # fmt: skip
    print_table(COLUMNS, cells, empty="No webhooks yet: `kos webhooks add NAME URL` adds one.")


@webhooks_command.command("show", cls=Command)
@click.argument("name")
@json_option
@pass_app
def show_command(app: App, name: str, as_json: bool) -> None:
    """The newest deliveries of NAME."""
    from console.operations import webhooks

    with app.database():
        listed = webhooks.deliveries(name)
    if as_json:
        print_json([asdict(one) for one in listed])
        return
    cells = [
        [one.created_at, one.event, one.state, one.attempts, one.problem or ""] for one in listed
    ]
    print_table(DELIVERIES, cells, empty="Nothing was sent there yet.")


@webhooks_command.command("add", cls=Command)
@click.argument("name")
@click.argument("url")
@click.option(
    "--event",
    "events",
    multiple=True,
    metavar="EVENT",
    help=f"May repeat: {', '.join(EVENTS)}. Else all but task.completed.",
)
@json_option
@pass_app
def add_command(app: App, name: str, url: str, events: tuple[str, ...], as_json: bool) -> None:
    """Send events to URL from now on; the secret that signs them is shown once."""
    from console.operations import webhooks

    with app.database():
        document = webhooks.add(name, url, events, settings=app.settings)
    if as_json:
        print_json(document)
        return
    say(document["secret"])
    say("Keep it: it is not shown again. The receiver checks the signature with it.")


@webhooks_command.command("remove", cls=Command)
@click.argument("name")
@pass_app
def remove_command(app: App, name: str) -> None:
    """Send nothing there any more."""
    from console.operations import webhooks

    with app.database():
        webhooks.remove(name)
    say(f"removed: {name}")


@webhooks_command.command("test", cls=Command)
@click.argument("name")
@pass_app
def test_command(app: App, name: str) -> None:
    """Send a test event now, and say what came of it."""
    from console.operations import webhooks

    with app.database():
        webhooks.send_test(name, settings=app.settings)
    say(f"delivered: {name}")
