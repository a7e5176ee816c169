"""``kos status``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from console.cli.app import App, pass_app
from console.cli.error_mapping import DONE, RED, UNREACHABLE
from console.cli.framework import Command, json_option
from console.cli.output import (
    Column,
    counted_text,
    note,
    print_json,
    print_table,
    say,
    state_text,
    styled,
    words,
)
from console.cli.text import one_line
from jobs.process.clock import utc_now

if TYPE_CHECKING:
    from console.operations.problems import Problem

PROGRAM_COLUMNS = (Column("PROGRAM"), Column("STATE"), Column("PID", "right"), Column("SINCE"))
LEVEL_STYLES = {"ok": "bold green", "busy": "bold", "warn": "bold yellow", "bad": "bold red"}
HEALTH_COLUMNS = (Column("HEALTH"), Column("STATE"), Column("DETAIL", flexible=True, spoken=True))


@click.command(
    cls=Command,
    examples=(
        ("kos status", "at a glance"),
        ("kos status --json | jq .tasks.failed", "for a script"),
    ),
)
@json_option
@pass_app
def status_command(app: App, as_json: bool) -> int:
    """Programs, tasks by state, health and addresses.

    Exit code 1 when a program does not run or a check is red, 4 when nothing can be asked.
    """
    from console.operations.status import gather
    from console.operations.times import span
    from console.operations.verdict import cause_line, verdict_line

    found = gather(app.connections)
    now = utc_now()
    if as_json:
        print_json(found.document(now=now))
    else:
        line = verdict_line(found.judged, now, words())
        say(line, LEVEL_STYLES[found.judged.level], ours=False)
        if cause := cause_line(found.judged, words()):
            say(cause, ours=False)
        _say_problems(found.judged.problems)
        rows = [
            [program.name, state_text(program.state), program.pid, span(program.uptime_seconds)]
            for program in found.programs
        ]
        if found.programs_known:
            print_table(PROGRAM_COLUMNS, rows, empty="No programs run: start them with `kos up`.")
        _print_tasks(found.tasks)
        checks = [
            [check.name, styled("ok", "green") if check.ok else styled(words()("red"), "red"),
             " → ".join(words()(text) for text in (check.detail, check.remedy) if text)]
            for check in found.health
        ]  # fmt: skip
        say("")
        print_table(HEALTH_COLUMNS, checks, empty="No health reports.")
        say("")
        for server in found.backends:
            mark = "SIMULATED, " if server.simulated else ""
            say(f"{server.name}: {mark}{server.url}", "yellow" if mark else "dim")
        for name, url in found.urls.items():
            say(f"\n{name}: {url}", "dim")
    if found.problems:
        note(f"kos: {one_line('; '.join(found.problems))}", "red")
        return UNREACHABLE
    return RED if found.red else DONE


def _say_problems(problems: Sequence[Problem]) -> None:
    from console.operations.verdict import english

    for problem in problems:
        parts = [words()(text) for text in (problem.text(english), problem.remedy) if text]
        say(f"  {' → '.join(parts)}", ours=False)
    say("")


def _print_tasks(counts: dict[str, int]) -> None:
    if counts:
        say("")
        cells = [[counted_text(state), count] for state, count in counts.items()]
        print_table((Column("TASKS"), Column("COUNT", "right")), cells, empty="")
