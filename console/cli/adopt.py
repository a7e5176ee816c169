"""``kos adopt``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from console.cli.app import App, pass_app
from console.cli.error_mapping import DONE, RED
from console.cli.framework import Command, json_option
from console.cli.output import Column, print_json, print_table, say

if TYPE_CHECKING:
    from console.operations.adoption import AdoptionReport

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

    report = adoption.report(app.connections)
    blocked = bool(report.obstacles)
    if apply and not blocked:
        report = replace(report, applied=runner.up())
    if as_json:
        print_json(report)
    else:
        _print(report)
    return RED if blocked else DONE


def _print(report: AdoptionReport) -> None:
    for key, title in TITLES.items():
        rows = [[item.found, item.meaning] for item in getattr(report, key)]
        if rows:
            say(f"{title}:")
            print_table(COLUMNS, rows, empty="")
    if report.obstacles:
        say("nothing was changed: clear what is in the way first")
    elif report.applied:
        say(f"added: {', '.join(report.applied)}")
    elif report.will_add:
        say(f"will add: {', '.join(report.will_add)} (kos adopt --apply)")
    else:
        say("nothing is to be added")
