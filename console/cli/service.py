"""``kos service``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from console.cli.app import App, pass_app
from console.cli.error_mapping import DONE, RED
from console.cli.framework import Command, Group, json_option
from console.cli.output import note, print_json, say

if TYPE_CHECKING:
    from console.boot.units import Service

MANAGERS = ("systemd", "launchd")


@click.group(
    name="service",
    cls=Group,
    examples=(
        ("kos service install", "start at every boot, as this account"),
        ("kos service install --print", "see the file, change nothing"),
        ("sudo kos service install --run-as kos", "of the machine, running as the account kos"),
        ("kos service status", "whether it is there and runs"),
        ("kos service remove", "stop it, and start no more at boot"),
    ),
)
def service_command() -> None:
    """Start at boot, through systemd or launchd, on the databases that this home remembers.

    As root it is a service of the machine, else of the person.
    """


@service_command.command("install", cls=Command)
@click.option("--print", "only_print", is_flag=True, help="Print the file; change nothing.")
@click.option("--manager", type=click.Choice(MANAGERS), help="For which one; else this machine's.")
@click.option("--run-as", metavar="NAME", help="The account of a service that root installs.")
@json_option
@pass_app
def install_command(
    app: App, only_print: bool, manager: str | None, run_as: str | None, as_json: bool
) -> None:
    """Write the service's file, start it now and at every boot."""
    from console.boot import install
    from console.supervision.stop import down

    planned = _planned(app, manager=manager, run_as=run_as)
    if only_print:
        note(f"# {planned.file}")
        click.echo(planned.text, nl=False)
        return
    install.require_lasting(app.settings)
    further = install.install(planned, make_room=lambda: down(app.settings))
    if as_json:
        print_json({"file": str(planned.file), "further": further})
        return
    say(f"{planned.file}: running, and started at every boot", "green")
    for line in further:
        say(line, "yellow")


@service_command.command("status", cls=Command)
@json_option
@pass_app
def status_command(app: App, as_json: bool) -> int:
    """Whether the service is installed and runs; exit code 1 if not."""
    from console.boot.install import is_active

    planned = _planned(app)
    there, active = planned.file.exists(), is_active(planned)
    if as_json:
        print_json({"installed": there, "active": active, "file": str(planned.file)})
    elif there:
        say(f"{planned.file}: {'runs' if active else 'does not run'}")
    else:
        say(f"not installed ({planned.file})")
    return DONE if active else RED


@service_command.command("remove", cls=Command)
@json_option
@pass_app
def remove_command(app: App, as_json: bool) -> None:
    """Stop the service and remove its file; the home with its data stays."""
    from console.boot.install import remove

    removed = remove(_planned(app))
    if as_json:
        print_json({"removed": removed})
    else:
        say("removed" if removed else "it was not installed")


def _planned(app: App, *, manager: str | None = None, run_as: str | None = None) -> Service:
    from console.boot.install import planned
    from console.boot.units import Manager

    return planned(app.settings, manager=Manager(manager) if manager else None, run_as=run_as)
