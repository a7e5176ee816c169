"""``kos config``."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command, json_option
from console.cli.output import Column, note, print_json, print_table

COLUMNS = (Column("SETTING"), Column("VALUE", flexible=True), Column("SOURCE", min_width=70))


@click.command(
    cls=Command,
    examples=(
        ("kos config", "every setting, its value and its source"),
        ("kos config lease", "the settings with this word in their name"),
        ("kos config --changed", "those that differ from their default"),
    ),
)
@click.argument("word", required=False, default="")
@click.option("--changed", is_flag=True, help="Only settings that differ from their default.")
@json_option
@pass_app
def config_command(app: App, word: str, changed: bool, as_json: bool) -> None:
    """Every setting with its value and its source; secrets are masked."""
    from console.operations import configuration
    from console.operations.errors import UnknownName

    every = configuration.entries(app.settings, os.environ)
    found = [entry for entry in every if word.casefold() in entry.name.casefold()]
    if not found:
        raise UnknownName(f"no setting has {word[:60]!r} in its name; `kos config` lists all")
    found = [entry for entry in found if not (changed and entry.is_default)]
    if as_json:
        print_json([asdict(entry) for entry in found])
        return
    rows = [[entry.name, _text(entry.value), entry.source] for entry in found]
    print_table(COLUMNS, rows, empty="Every setting has its default.")
    for warning in app.settings.warnings:
        note(warning, "yellow")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)
