"""``kos plan`` and ``kos recover``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command, Word, json_option
from console.cli.output import Column, note, print_json, print_table, say
from jobs.policy.types import PolicyName

if TYPE_CHECKING:
    from console.operations.planning import ForecastBlock, PlanPreview, PreviewedBlock

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
            preview = planning.preview(runtime, policy=PolicyName(policy) if policy else None)
        if as_json:
            print_json(preview)
        else:
            _print_preview(preview)
        return
    with app.database():
        plan = planning.in_force(app.settings)
    if as_json:
        print_json(plan)
    else:
        _print_blocks([_cells(block, block.remaining, _times(block)) for block in plan.blocks])


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


def _print_preview(preview: PlanPreview) -> None:
    from console.operations.times import span

    rows = []
    for block in preview.blocks:
        times = [span(block.expected_start_seconds), span(block.expected_finish_seconds)]
        rows.append(_cells(block, "", times))
    _print_blocks(rows)
    if preview.reason:
        note(preview.reason)
    for one in preview.unplaced[:UNPLACED_SHOWN]:
        note(f"{one.task[:8]} waits: {one.reason}", "yellow")
    if len(preview.unplaced) > UNPLACED_SHOWN:
        note(f"and {len(preview.unplaced) - UNPLACED_SHOWN} more wait", "yellow")


def _print_blocks(rows: list[list[Any]]) -> None:
    print_table(COLUMNS, rows, empty="Nothing is planned.")


def _cells(block: ForecastBlock | PreviewedBlock, left: int | str, times: list[str]) -> list[Any]:
    model = block.model + (f" ctx {block.num_ctx}" if block.num_ctx else "")
    return [block.backend, model, block.size, left, *times, block.reason]


def _times(block: ForecastBlock) -> list[str]:
    from console.operations.times import about

    starts = "now" if block.in_flight else ""
    return [
        about(found.low, found.high).removeprefix("about ") if found else other
        for found, other in ((block.starts, starts), (block.ends, ""))
    ]
