"""``kos plan`` and ``kos recover``."""

from __future__ import annotations

from typing import Any

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command, Word, json_option
from console.cli.output import Column, note, print_json, print_table, say
from jobs.policy.types import PolicyName

POLICIES = tuple(policy.value for policy in PolicyName)
UNPLACED_SHOWN = 10
COLUMNS = (
    Column("BACKEND"),
    Column("MODEL"),
    Column("TASKS", justify="right"),
    Column("LEFT", justify="right", min_width=80),
    Column("STARTS IN", justify="right"),
    Column("ENDS IN", justify="right"),
    Column("WHY", flexible=True, spoken=True),
)


@click.command(
    cls=Command,
    examples=(
        ("kos plan", "the blocks in force, lane by lane"),
        ("kos plan --dry-run", "what the planner would do now; nothing is written"),
        ("kos plan --dry-run --policy fifo", "and what another policy would do"),
    ),
)
@click.option("--dry-run", is_flag=True, help="Make a plan now, for show.")
@click.option("--policy", type=Word(POLICIES), metavar="|".join(POLICIES), help="For --dry-run.")
@json_option
@pass_app
def plan_command(app: App, dry_run: bool, policy: str | None, as_json: bool) -> None:
    """The plan in force: which block runs where, in which order, and why."""
    from console.operations import planning

    if policy and not dry_run:
        raise click.UsageError("--policy belongs to --dry-run")
    if dry_run:
        with app.runtime() as runtime, app.database():
            chosen = PolicyName(policy) if policy else None
            document = planning.preview(runtime, policy=chosen)
    else:
        with app.database():
            document = planning.in_force(app.settings)
    if as_json:
        print_json(document)
        return
    print_table(COLUMNS, [_cells(row) for row in document["blocks"]], empty="Nothing is planned.")
    if document.get("reason"):
        note(document["reason"])
    unplaced = document.get("unplaced", [])
    for one in unplaced[:UNPLACED_SHOWN]:
        note(f"{one['task'][:8]} waits: {one['reason']}", "yellow")
    if len(unplaced) > UNPLACED_SHOWN:
        note(f"and {len(unplaced) - UNPLACED_SHOWN} more wait", "yellow")


@click.command(cls=Command, examples=(("kos recover", "what the scheduler does every minute"),))
@json_option
@pass_app
def recover_command(app: App, as_json: bool) -> None:
    """Return orphaned and stuck tasks to the backlog now."""
    from console.operations import planning

    with app.runtime() as runtime:
        document = planning.recover(runtime)
    if as_json:
        print_json(document)
        return
    causes = [f"{n} {cause}" for cause, n in document.items() if n and cause != "returned"]
    say(", ".join(causes) if causes else "nothing was orphaned or stuck")


def _cells(row: dict[str, Any]) -> list[Any]:
    left = row.get("remaining")
    return [
        row["backend"],
        row["model"] + (f" ctx {row['num_ctx']}" if row["num_ctx"] else ""),
        row["size"],
        "" if left is None else left,
        *_times(row),
        row["reason"],
    ]


def _times(row: dict[str, Any]) -> list[str]:
    """Start and end: ranges of the plan in force, the expected seconds of one that was not made."""
    from console.operations.times import about, span

    if "starts" not in row:
        return [span(row["expected_start_seconds"]), span(row["expected_finish_seconds"])]
    starts = "now" if row["in_flight"] else ""
    return [
        about(row[name]["low"], row[name]["high"]).removeprefix("about ") if row[name] else other
        for name, other in (("starts", starts), ("ends", ""))
    ]
