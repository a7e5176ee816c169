"""``kos show`` and ``kos why``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from console.cli.app import App, pass_app
from console.cli.error_mapping import DONE, RED
from console.cli.framework import Command, json_option
from console.cli.output import (
    Column,
    note,
    print_json,
    print_table,
    say,
    state_text,
    words,
)
from console.cli.text import safe
from jobs.process.clock import utc_now

if TYPE_CHECKING:
    from console.operations.outlook import QueuePosition
    from models.decision import RecordedDecision
    from models.task_rows import WholeTask

ATTEMPT_COLUMNS = (
    Column("#", justify="right"),
    Column("OUTCOME"),
    Column("BACKEND"),
    Column("MODEL", min_width=90),
    Column("WAIT", justify="right"),
    Column("LOAD", justify="right", min_width=80),
    Column("FIRST TOKEN", justify="right", min_width=80),
    Column("WHOLE", justify="right"),
    Column("TOKENS", justify="right", min_width=80),
    Column("ERROR", flexible=True, min_width=70, spoken=True),
)


@click.command(
    cls=Command,
    examples=(
        ("kos show 3f2a90", "the beginning of an id is enough where it is unique"),
        ("kos show report-17", "a custom_id works too"),
        ("kos show 3f2a90 --answer > answer.md", "nothing but the answer"),
        ("kos show 3f2a90 --follow", "the answer while it is written"),
    ),
)
@click.argument("task", metavar="ID")
@click.option("--answer", is_flag=True, help="Print the answer alone.")
@click.option("--follow", is_flag=True, help="Print the answer while it is written.")
@json_option
@pass_app
def show_command(app: App, task: str, answer: bool, follow: bool, as_json: bool) -> int:
    """One task whole: what it is, its story, its attempts and its answer."""
    from console.operations import ids, tasks
    from console.operations.outlook import position_of
    from models import decision

    if sum((answer, follow, as_json)) > 1:
        raise click.UsageError("choose one of --answer, --follow and --json")
    with app.database():
        task_id = ids.resolve(task)
    if follow:
        return _follow(app, task_id)
    with app.database():
        row = tasks.details(task_id)
        decisions = decision.of_task(task_id)
        parents, position = _parents(row), position_of(task_id, app.settings)
    if as_json:
        print_json(row)
    elif answer:
        text = safe(row.result or "") if sys.stdout.isatty() else row.result or ""
        click.echo(text, nl=not text.endswith("\n"))
    else:
        _print_head(app, row, parents, position)
        _print_timeline(row, decisions)
        _print_attempts(row)
        _print_answer(row)
    return DONE


@click.command(
    cls=Command,
    examples=(
        ("kos why 3f2a90", "why this expert, this backend, this model, this moment"),
        ("kos why 3f2a90 --json | jq '.decisions[].reason'", "the reasons alone"),
    ),
)
@click.argument("task", metavar="ID")
@json_option
@pass_app
def why_command(app: App, task: str, as_json: bool) -> None:
    """Every decision on a task, with what was not chosen, and what it waits for now."""
    from console.operations import ids, tasks
    from console.operations.outlook import as_range, position_of
    from models import decision

    with app.database():
        task_id = ids.resolve(task)
        decisions = decision.of_task(task_id)
        row = tasks.details(task_id)
        parents, position = _parents(row), position_of(task_id, app.settings)
    if as_json:
        shown = as_range(position.done_in, now=utc_now()) if position else None
        print_json({**tasks.as_explained(task_id, decisions), "eta": shown})
        return
    _print_head(app, row, parents, position)
    _print_timeline(row, decisions)


def _follow(app: App, task_id: str) -> int:
    """Exit code 1 where the task ends without an answer."""
    from console.operations.live_answer import followed
    from models import task_views

    for piece in followed(app.redis, task_id):
        click.echo(safe(piece), nl=False)
    click.echo()
    with app.database():
        row = task_views.one(task_id)
    if row is None or row.status != "completed":
        note(f"{row.status}: {row.last_error}" if row else "the task is gone", "red")
        return RED
    return DONE


def _parents(row: WholeTask) -> dict[str, str]:
    from models import task_views

    return task_views.statuses_of(row.depends_on) if row.depends_on else {}


def _print_head(
    app: App, row: WholeTask, parents: dict[str, str], position: QueuePosition | None
) -> None:
    from console.operations.lanes import closed_for, slots_for
    from console.operations.timeline import standing
    from console.operations.times import ago

    now = utc_now()
    say(row.title or "(no title)", "bold", ours=False)
    facts = (
        ("id", row.id),
        ("custom id", row.custom_id),
        ("priority", row.priority),
        ("category", row.category),
        ("expert", row.expert),
        ("created", ago(row.created_at, now=now)),
        ("depends on", ", ".join(f"{i[:8]} ({parents.get(i, 'gone')})" for i in row.depends_on)),
    )
    tell = words()
    for name, value in facts:
        if value:
            say(f"  {tell(name):<11} {value}", ours=False)
    slots, closed = slots_for(row, app.connections), closed_for(row, app.connections)
    present = tell(standing(row, parents, now=now, position=position, slots=slots, closed=closed))
    say(f"  {tell('now'):<11} {present}", ours=False)


def _print_timeline(row: WholeTask, decisions: Sequence[RecordedDecision]) -> None:
    from console.operations.timeline import events_of

    events = events_of(row, decisions)
    if not events:
        return
    tell = words()
    say("")
    say("Story", "bold")
    for event in events:
        say(f"  {event.at.astimezone():%Y-%m-%d %H:%M:%S}  {tell(event.what)}", ours=False)
        for detail in event.details:
            say(f"                       {tell(detail)}", "dim", ours=False)


def _print_attempts(row: WholeTask) -> None:
    from console.operations.times import span

    if not row.attempts:
        return
    say("")
    rows = [
        [
            entry.number,
            state_text(entry.outcome or "running"),
            entry.backend,
            entry.model,
            span(entry.wait_seconds),
            span(entry.load_seconds),
            span(entry.first_token_seconds),
            span(entry.duration_seconds),
            entry.completion_tokens,
            entry.error,
        ]
        for entry in row.attempts
    ]
    print_table(ATTEMPT_COLUMNS, rows, empty="", title="Attempts")


def _print_answer(row: WholeTask) -> None:
    from console.operations.tasks import best_answer

    best = best_answer(row)
    if row.result:
        say("")
        say("Answer", "bold")
        say(row.result, ours=False)
    elif best is not None:
        say("")
        say(f"Best answer, not accepted (attempt {best.number})", "bold")
        say(best.answer or "", ours=False)
        say(f"To take it as the result: kos accept {row.id[:8]} {best.number}", "dim")
    elif row.description:
        say("")
        say("Description", "bold")
        say(row.description, ours=False)
