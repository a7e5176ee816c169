"""``kos doctor``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from console.cli.app import App, pass_app
from console.cli.error_mapping import DONE, RED
from console.cli.framework import Command, json_option
from console.cli.output import print_json, screen, styled
from console.cli.text import one_line

if TYPE_CHECKING:
    from console.operations.doctor.check import Check

MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "red": ("✗", "red")}


@click.command(
    cls=Command,
    examples=(
        ("kos doctor", "every check, and what to do about the red ones"),
        ("kos doctor --json | jq '.[] | select(.ok | not)'", "the red ones alone"),
    ),
)
@json_option
@pass_app
def doctor_command(app: App, as_json: bool) -> int:
    """Check this machine and the services; a red line says its remedy. Exit code 1 when any is."""
    checks = []
    for check in _checks(app):
        checks.append(check)
        if not as_json:
            _print(check)
    if as_json:
        print_json([check.document() for check in checks])
    return RED if any(check.level.value == "red" for check in checks) else DONE


def _checks(app: App) -> Iterator[Check]:
    from console.operations.doctor.check import red
    from console.operations.doctor.machine import bare_checks, machine_checks
    from console.operations.doctor.servers import server_checks
    from console.operations.doctor.services import program_check, service_checks
    from jobs.settings.load import SettingsError

    try:
        settings = app.settings
    except SettingsError as error:
        for problem in error.problems:
            yield red("settings", problem, "correct it in the environment or in .env")
        yield from bare_checks()
        return
    yield from bare_checks()
    programs = program_check(settings)
    yield from machine_checks(settings, running=programs.level.value != "warning")
    yield programs
    yield from service_checks(app.connections)
    yield from server_checks(settings)


def _print(check: Check) -> None:
    mark, style = MARKS[check.level.value]
    line = styled(f"{mark} ", style) + styled(f"{check.name}: {one_line(check.detail)}")
    if check.remedy:
        line += styled(f"  → {check.remedy}", style)
    screen().print(line, soft_wrap=True)
