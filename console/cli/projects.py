"""``kos projects``."""

from __future__ import annotations

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command, Group, complete_backends, json_option
from console.cli.output import Column, print_json, print_table, say

COLUMNS = (
    Column("NAME", flexible=True),
    Column("EXPERT"),
    Column("BACKEND"),
    Column("OPEN", justify="right"),
    Column("COMPLETED", justify="right"),
    Column("FAILED", justify="right"),
    Column("CANCELLED", justify="right", min_width=90),
)
NAMES = ("name", "expert", "backend", "open", "completed", "failed", "cancelled")


@click.group(
    name="projects",
    cls=Group,
    invoke_without_command=True,
    examples=(
        ("kos submit --project site --tag seo ...", "a task of a project"),
        ("kos projects set site --expert Anna --backend mlx", "for its tasks that name nobody"),
    ),
)
@json_option
@click.pass_context
def projects_command(context: click.Context, as_json: bool) -> None:
    """Projects of tasks, with totals. Without a subcommand: list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_command, as_json=as_json)


@projects_command.command("list", cls=Command)
@json_option
@pass_app
def list_command(app: App, as_json: bool) -> None:
    """List the projects with their defaults and their tasks."""
    from console.operations import projects

    with app.database():
        rows = projects.listed()
    if as_json:
        print_json(rows)
        return
    cells = [[row[name] for name in NAMES] for row in rows]
    print_table(COLUMNS, cells, empty="No projects yet: `kos submit --project NAME` begins one.")


@projects_command.command("set", cls=Command)
@click.argument("name")
@click.option("--expert", metavar="NAME", help="Who does its tasks that name nobody.")
@click.option("--backend", metavar="NAME", help="Where.", shell_complete=complete_backends)
@pass_app
def set_command(app: App, name: str, expert: str | None, backend: str | None) -> None:
    """Set the defaults of a project; what is not named is chosen by the text again."""
    from console.operations import projects

    with app.database():
        projects.keep(name, expert=expert, backend=backend, settings=app.settings)
    say(f"{name}: expert {expert or 'by the text'}, backend {backend or 'by the expert'}")
