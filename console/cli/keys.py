"""``kos keys``."""

from __future__ import annotations

from dataclasses import asdict

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command, Group, json_option
from console.cli.output import Column, print_json, print_table, say
from console.operations.errors import InvalidInput
from models import caller_key

COLUMNS = (Column("NAME", flexible=True), Column("ENDS IN"), Column("MADE"), Column("REVOKED"))


@click.group(
    name="keys",
    cls=Group,
    invoke_without_command=True,
    examples=(
        ("kos keys add open-webui", "a key; it is shown once"),
        ("kos keys revoke open-webui", "end it"),
    ),
)
@json_option
@click.pass_context
def keys_command(context: click.Context, as_json: bool) -> None:
    """API keys of the gateway's callers. Without a subcommand: list them.

    Callers with keys of their own take turns, and the ledger names them.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_command, as_json=as_json)


@keys_command.command("list", cls=Command, examples=(("kos keys list --json", "as JSON"),))
@json_option
@pass_app
def list_command(app: App, as_json: bool) -> None:
    """List the keys by name; the keys themselves are not kept."""
    with app.database():
        keys = caller_key.listed()
    if as_json:
        print_json([asdict(key) for key in keys])
        return
    cells = [[key.name, key.hint, key.created_at, key.revoked_at] for key in keys]
    print_table(COLUMNS, cells, empty="No keys yet: `kos keys add NAME` makes one.")


@keys_command.command("add", cls=Command, examples=(("kos keys add open-webui", "for a chat"),))
@click.argument("name")
@json_option
@pass_app
def add_command(app: App, name: str, as_json: bool) -> None:
    """Make a key for NAME and show it, once."""
    try:
        with app.database():
            key = caller_key.add(name)
    except (caller_key.NameTaken, caller_key.NoName) as error:
        raise InvalidInput(str(error)) from error
    if as_json:
        print_json({"name": name, "key": key})
    else:
        say(f"{key}\nKeep it: it is not shown again. Clients send it as Authorization: Bearer KEY.")


@keys_command.command("revoke", cls=Command, examples=(("kos keys revoke open-webui", "end it"),))
@click.argument("name")
@json_option
@pass_app
def revoke_command(app: App, name: str, as_json: bool) -> None:
    """End the key of NAME; the gateway refuses it within five seconds."""
    with app.database():
        revoked = caller_key.revoke(name)
    if not revoked:
        raise InvalidInput(f"no key named {name!r} is in use; kos keys lists them")
    if as_json:
        print_json({"name": name, "revoked": True})
    else:
        say(f"the key of {name} is revoked")
