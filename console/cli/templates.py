"""``kos templates``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, BinaryIO

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command, F, Group, Word, json_option
from console.cli.output import Column, dump, print_json, print_table, say
from console.cli.submit import CATEGORIES
from console.cli.tasks import PRIORITIES

COLUMNS = (Column("NAME"), Column("VARIABLES"), Column("TEXT", flexible=True))
TASK_OPTIONS = (
    click.option("--title", metavar="TEXT"),
    click.option("--priority", type=Word(PRIORITIES), metavar="|".join(PRIORITIES)),
    click.option("--category", type=Word(CATEGORIES), metavar="|".join(CATEGORIES)),
    click.option("--expert", metavar="NAME"),
    click.option("--backend", metavar="NAME"),
    click.option("--model", metavar="NAME"),
)
"""Fields of a task besides its text, for a template and for a schedule."""


def options(*chosen: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator of several, in their order of the help."""

    def decorate(function: F) -> F:
        for option in reversed(chosen):
            function = option(function)
        return function

    return decorate


@click.group(
    name="templates",
    cls=Group,
    invoke_without_command=True,
    examples=(
        ('kos templates add review --text "Review {{file}}"', "a task with a variable"),
        ("kos submit --template review --var file=app.py", "use it"),
    ),
)
@json_option
@click.pass_context
def templates_command(context: click.Context, as_json: bool) -> None:
    """Tasks with variables. Without a subcommand: list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_command, as_json=as_json)


@templates_command.command("list", cls=Command)
@json_option
@pass_app
def list_command(app: App, as_json: bool) -> None:
    """List the templates with their variables."""
    from console.operations import templates

    with app.database():
        found = templates.listed()
    if as_json:
        print_json(found)
        return
    cells = [[one.name, ", ".join(one.variables), str(one.line["description"])] for one in found]
    print_table(COLUMNS, cells, empty="No templates yet: `kos templates add --help`.")


@templates_command.command("show", cls=Command)
@click.argument("name")
@json_option
@pass_app
def show_command(app: App, name: str, as_json: bool) -> None:
    """One template whole."""
    from console.operations import templates

    with app.database():
        found = templates.details(name)
    if as_json:
        print_json(found)
    else:
        say(dump(found.line, indent=2))
        say(f"variables: {', '.join(found.variables) or 'none'}", "dim")


@templates_command.command("add", cls=Command)
@click.argument("name")
@click.option("--text", help="What is to be done, with {{variables}}.")
@click.option("--from", "source", type=click.File("rb"), metavar="FILE|-", help="A JSON object.")
@options(*TASK_OPTIONS)
@json_option
@pass_app
def add_command(
    app: App, /, name: str, text: str | None, source: BinaryIO | None, as_json: bool, **fields: Any
) -> None:
    """Add a template: a text, or the JSON object of a task."""
    from console.operations import templates

    if (text is None) == (source is None):
        raise click.UsageError('write --text "Review {{file}}", or --from FILE')
    line = {"description": text} if source is None else _read(source)
    if isinstance(line, dict):
        line |= {key: value for key, value in fields.items() if value is not None}
    with app.database():
        found = templates.add(name, line)
    if as_json:
        print_json(found)
    else:
        say(f"added: {name} (variables: {', '.join(found.variables) or 'none'})")


@templates_command.command("remove", cls=Command)
@click.argument("name")
@pass_app
def remove_command(app: App, name: str) -> None:
    """Remove a template that no schedule uses."""
    from console.operations import templates

    with app.database():
        templates.remove(name)
    say(f"removed: {name}")


def _read(source: BinaryIO) -> Any:
    try:
        return json.loads(source.read())
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"--from: {source.name} is not JSON ({error})") from error
