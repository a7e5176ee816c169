"""``kos adopt``."""

from __future__ import annotations

from typing import Any

import click

from console.cli.app import App, pass_app
from console.cli.error_mapping import DONE, RED
from console.cli.framework import Command, json_option
from console.cli.output import Column, print_json, print_table, say

COLUMNS = (Column("FOUND"), Column("MEANS"))
TITLES = {"database": "Database", "environment": "Environment", "obstacles": "In the way"}


@click.command(
    cls=Command,
    examples=(
        ("kos adopt", "what is there and what would be added; changes nothing"),
        ("kos adopt --apply", "the same, and then add it"),
    ),
)
@click.option("--apply", is_flag=True, help="Add what is missing; without it, only look.")
@json_option
@pass_app
def adopt_command(app: App, apply: bool, as_json: bool) -> int:
    """Look at the database of another system and its environment, and move in beside it.

    Exit code 1 when something is in the way.
    """
    from console.operations import adoption
    from models.migrations import runner

    document = adoption.report(app.connections)
    blocked = bool(document["obstacles"])
    document["applied"] = runner.up() if apply and not blocked else []
    if as_json:
        print_json(document)
    else:
        _print(document, apply=apply)
    return RED if blocked else DONE


def _print(document: dict[str, Any], *, apply: bool) -> None:
    for key, title in TITLES.items():
        rows = [[item["found"], item["meaning"]] for item in document[key]]
        if rows:
            say(f"{title}:")
            print_table(COLUMNS, rows, empty="")
    if document["obstacles"]:
        say("nothing was changed: clear what is in the way first")
    elif document["applied"]:
        say(f"added: {', '.join(document['applied'])}")
    elif document["will_add"]:
        say(f"will add: {', '.join(document['will_add'])} (kos adopt --apply)")
    else:
        say("nothing is to be added")
