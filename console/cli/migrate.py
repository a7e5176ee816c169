"""``kos migrate``."""

from __future__ import annotations

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command, Group, json_option
from console.cli.output import Column, print_json, print_table, say
from jobs.process.clock import utc_now


@click.group(
    name="migrate",
    cls=Group,
    examples=(
        ("kos migrate status", "what is applied, what is pending"),
        ("kos migrate up", "create the tables, or adopt those that stand there"),
        ("kos migrate down --yes", "take back the newest step"),
        ("kos migrate grants kos_runner", "what a role needs that is not the owner"),
    ),
)
def migrate_command() -> None:
    """Create or adopt the tables. Migrations only add: rows of yours are never dropped."""


@migrate_command.command("up", cls=Command)
@json_option
@pass_app
def up_command(app: App, as_json: bool) -> None:
    """Apply what is pending."""
    from models.migrations import runner

    app.connections.use_database()
    names = runner.up()
    if as_json:
        print_json({"applied": names})
    else:
        say(f"applied {', '.join(names)}" if names else "nothing was pending")


@migrate_command.command("down", cls=Command)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_app
def down_command(app: App, yes: bool, as_json: bool) -> None:
    """Take back the newest step: only what it added."""
    from models.migrations import runner

    app.connections.use_database()
    applied = [step.name for step in runner.status() if step.applied_at is not None]
    if applied and not yes:
        click.confirm(f"Take back {applied[-1]}?", abort=True, err=True)
    names = runner.down() if applied else []
    if as_json:
        print_json({"taken_back": names})
    else:
        say(f"took back {', '.join(names)}" if names else "nothing is applied")


@migrate_command.command("status", cls=Command)
@json_option
@pass_app
def status_command(app: App, as_json: bool) -> None:
    """Every step, and when it was applied."""
    from console.operations.times import ago
    from models.base import as_utc
    from models.migrations import runner

    app.connections.use_database()
    steps = runner.status()
    if as_json:
        print_json([{"name": step.name, "applied_at": step.applied_at} for step in steps])
        return
    now = utc_now()
    rows = [[s.name, ago(as_utc(s.applied_at), now=now) or "pending"] for s in steps]
    print_table((Column("STEP"), Column("APPLIED")), rows, empty="No steps.")


@migrate_command.command("grants", cls=Command)
@click.argument("role")
@json_option
@pass_app
def grants_command(app: App, role: str, as_json: bool) -> None:
    """Print the GRANT statements with which ROLE runs everything but migrations."""
    from jobs.policy.knowledge_os import Compat
    from models import rights
    from models.database import session

    app.connections.use_database()
    with session():
        knowledge = app.settings.compat is Compat.KNOWLEDGE_OS
        statements = rights.grants(role, knowledge=knowledge)
    if as_json:
        print_json({"role": role, "statements": statements})
        return
    for statement in statements:
        click.echo(statement)
