"""``kos experts``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from console.cli.app import App, pass_app
from console.cli.error_mapping import DONE, RED
from console.cli.expert_changes import (
    activate_command,
    add_command,
    deactivate_command,
    edit_command,
    import_command,
)
from console.cli.framework import Command, Group, json_option
from console.cli.output import Column, dump, print_json, print_table, say

if TYPE_CHECKING:
    from console.operations.experts import ExpertDetails

COLUMNS = (
    Column("NAME"),
    Column("DEPARTMENT", min_width=60),
    Column("ROLE", flexible=True, min_width=90),
    Column("ACTIVE"),
    Column("OPEN", justify="right"),
    Column("COMPLETED", justify="right"),
    Column("FAILED", justify="right"),
)


@click.group(
    name="experts",
    cls=Group,
    invoke_without_command=True,
    examples=(
        ("kos experts", "who there is, with what load"),
        ("kos experts add --from examples/experts.jsonl", "add those that are missing"),
    ),
)
@json_option
@click.pass_context
def experts_command(context: click.Context, as_json: bool) -> None:
    """The experts with their load. Without a subcommand: list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_command, as_json=as_json)


@experts_command.command("list", cls=Command, examples=(("kos experts list --json", "as JSON"),))
@json_option
@pass_app
def list_command(app: App, as_json: bool) -> None:
    """List the experts with their open, completed and failed tasks."""
    from console.operations import experts

    with app.database():
        rows = experts.listed()
    if as_json:
        print_json(rows)
        return
    cells: list[list[Any]] = [
        [
            row.name,
            row.department,
            row.role,
            "yes" if row.active else "no",
            row.open,
            row.completed,
            row.failed,
        ]
        for row in rows
    ]
    empty = "No experts yet: `kos experts add --from examples/experts.jsonl` adds some."
    print_table(COLUMNS, cells, empty=empty)


@experts_command.command(
    "show",
    cls=Command,
    examples=(("kos experts show Vera", "its prompt, figures, tasks, and what changed when"),),
)
@click.argument("name")
@json_option
@pass_app
def show_command(app: App, name: str, as_json: bool) -> None:
    """One expert whole, with every version of its prompt and what each changed."""
    from console.operations import experts

    with app.database():
        found = experts.details(name)
    if as_json:
        print_json(found)
        return
    active = "" if found.is_active else " (not active)"
    say(f"{found.name}{active}", "bold")
    for title, value in _facts(found):
        say(f"{title:<12}{value}")
    say("\n" + (found.system_prompt or "(no prompt)"))
    for version in found.versions:
        at = f"{version.at.astimezone():%Y-%m-%d %H:%M}"
        say(f"\nversion {version.version}, {at}, {version.author}", "bold")
        for line in version.diff.splitlines():
            say(line, {"+": "green", "-": "red"}.get(line[:1], "dim"))
    rows = [[one.id[:8], one.title, one.status] for one in found.recent]
    columns = (Column("TASK"), Column("TITLE", flexible=True), Column("STATUS"))
    print_table(columns, rows, empty="no tasks yet", title="\nrecent tasks")


@experts_command.command(
    "match",
    cls=Command,
    examples=(('kos experts match "Write tests for the parser"', "who would get this task"),),
)
@click.argument("text")
@click.option("--hint", metavar="NAME", help="As metadata.assignee_hint would name somebody.")
@json_option
@pass_app
def match_command(app: App, text: str, hint: str | None, as_json: bool) -> int:
    """Say who would get a task with this text, and why; nothing is written."""
    from console.operations import experts

    with app.database():
        found = experts.match(text, hint=hint)
    if as_json:
        print_json(found)
    else:
        say(found.expert or "nobody", "bold")
        say(found.reason)
        for other in found.rejected:
            say(f"  not {other.option}: {other.reason}", "dim")
    return DONE if found.expert else RED


@experts_command.command(
    "export", cls=Command, examples=(("kos experts export > experts.jsonl", "all, one a line"),)
)
@pass_app
def export_command(app: App) -> None:
    """Write every expert as JSONL, as `kos experts import` reads it."""
    from console.operations import experts

    with app.database():
        rows = experts.exported()
    for row in rows:
        sys.stdout.write(dump(row) + "\n")


for command in (
    add_command,
    edit_command,
    deactivate_command,
    activate_command,
    import_command,
):
    experts_command.add_command(command)


def _facts(found: ExpertDetails) -> list[tuple[str, Any]]:
    sampling = ", ".join(f"{key} {value}" for key, value in found.sampling.items())
    rate, score = found.acceptance_rate, found.average_score
    facts = (
        ("role", found.role),
        ("department", found.department),
        ("model", found.preferred_model),
        ("sampling", sampling),
        ("language", found.language),
        (
            "tasks",
            f"{found.open} open, {found.completed} completed, {found.failed} failed",
        ),
        ("accepted", None if rate is None else f"{rate:.0%} of its checked answers"),
        ("score", None if score is None else f"{score:.2f} on average"),
    )
    return [(title, value) for title, value in facts if value]
