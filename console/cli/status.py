"""``kos status``."""

from __future__ import annotations

from typing import Any

import click

from console.cli.app import App, pass_app
from console.cli.error_mapping import DONE, RED, UNREACHABLE
from console.cli.framework import Command, json_option
from console.cli.output import (
    Column,
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
    document = found.document
    if as_json:
        print_json(document)
    else:
        line = verdict_line(found.judged, utc_now(), words())
        say(line, LEVEL_STYLES[document["verdict"]["level"]], ours=False)
        if cause := cause_line(found.judged, words()):
            say(cause, ours=False)
        _say_problems(document["verdict"]["problems"])
        rows = [
            [row["name"], state_text(row["state"]), row["pid"], span(row["uptime_seconds"])]
            for row in document["programs"]
        ]
        print_table(PROGRAM_COLUMNS, rows, empty="No programs run: start them with `kos up`.")
        _print_tasks(document["tasks"])
        checks = [
            [row["name"], styled("ok", "green") if row["ok"] else styled(words()("red"), "red"),
             " → ".join(words()(text) for text in (row["detail"], row["remedy"]) if text)]
            for row in document["health"]
        ]  # fmt: skip
        say("")
        print_table(HEALTH_COLUMNS, checks, empty="No health reports.")
        say("")
        for row in document["backends"]:
            mark = "SIMULATED, " if row["simulated"] else ""
            say(f"{row['name']}: {mark}{row['url']}", "yellow" if mark else "dim")
        for name, url in document["urls"].items():
            say(f"\n{name}: {url}", "dim")
    if found.problems:
        note(f"kos: {one_line('; '.join(found.problems))}", "red")
        return UNREACHABLE
    return RED if found.red else DONE


def _say_problems(problems: list[dict[str, Any]]) -> None:
    for problem in problems:
        parts = [words()(problem[name]) for name in ("what", "remedy") if problem[name]]
        say(f"  {' → '.join(parts)}", ours=False)
    say("")


def _print_tasks(counts: dict[str, int]) -> None:
    if counts:
        say("")
        cells = [[state_text(state), count] for state, count in counts.items()]
        print_table((Column("TASKS"), Column("COUNT", "right")), cells, empty="")
