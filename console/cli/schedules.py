"""``kos schedules``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command, Group, json_option
from console.cli.output import Column, print_json, print_table, say
from console.cli.templates import TASK_OPTIONS, options
from jobs.process.clock import utc_now

if TYPE_CHECKING:
    from console.operations.schedules import ScheduleDetails, ShownSchedule

COLUMNS = (
    Column("NAME"),
    Column("WHEN", flexible=True),
    Column("ZONE", min_width=90),
    Column("NEXT"),
    Column("LAST", flexible=True),
)
TASK_FIELDS = ("title", "priority", "category", "expert", "backend", "model")
TIMES = "%a %Y-%m-%d %H:%M"
OPTIONS = (
    click.option("--cron", metavar="LINE", help="Five fields: 30 7 * * 1-5."),
    click.option("--every", metavar="WORDS", help='"every weekday at 7:30", "every 2 hours".'),
    click.option("--zone", metavar="NAME", help="A time zone, as Europe/Berlin; else UTC."),
    click.option("--text", help="What is to be done; {{date}}, {{time}}, {{last_result}}."),
    click.option("--template", metavar="NAME", help="A template of `kos templates`."),
    click.option("--var", "pairs", multiple=True, metavar="NAME=VALUE", help="May repeat."),
    *TASK_OPTIONS,
    click.option("--catch-up/--skip", default=None, help="After a sleep: run the newest missed."),
    click.option(
        "--keep",
        type=click.IntRange(min=1),
        metavar="N",
        help="Runs to keep with their tasks; 1000.",
    ),
)


@click.group(
    name="schedules",
    cls=Group,
    invoke_without_command=True,
    examples=(
        ("kos schedules", "what comes back by itself, when, and what became of it"),
        (
            'kos schedules add --name plan --every "every weekday at 7:30" --text "Plan {{date}}"',
            "a task of its own each working day",
        ),
    ),
)
@json_option
@click.pass_context
def schedules_command(context: click.Context, as_json: bool) -> None:
    """Recurring work. Without a subcommand: list the schedules."""
    if context.invoked_subcommand is None:
        context.invoke(list_command, as_json=as_json)


@schedules_command.command("list", cls=Command)
@json_option
@pass_app
def list_command(app: App, as_json: bool) -> None:
    """List the schedules with their next run and what became of the last one."""
    from console.operations import schedules

    with app.database():
        found = schedules.listed(now=utc_now())
    if as_json:
        print_json(found)
        return
    cells = [
        [one.name, one.words, one.zone, _next(one), one.last.in_words() if one.last else ""]
        for one in found
    ]
    print_table(COLUMNS, cells, empty="No schedules yet: `kos schedules add --help`.")


@schedules_command.command("show", cls=Command)
@click.argument("name")
@json_option
@pass_app
def show_command(app: App, name: str, as_json: bool) -> None:
    """One schedule: its next five runs, its task, its last runs."""
    from console.operations import schedules

    with app.database():
        _print(schedules.details(name, now=utc_now()), as_json)


@schedules_command.command("add", cls=Command)
@click.option("--name", required=True, metavar="NAME")
@options(*OPTIONS)
@json_option
@pass_app
def add_command(app: App, /, name: str, as_json: bool, **fields: Any) -> None:
    """Add a schedule and show its next five runs."""
    from console.operations import schedules

    if (fields["cron"] is None) == (fields["every"] is None):
        raise click.UsageError('say when: --every "every weekday at 7:30", or --cron')
    if (fields["text"] is None) == (fields["template"] is None):
        raise click.UsageError("say what: --text or --template")
    values = _values(fields)
    with app.database():
        _print(schedules.add(name, values, rules=_rules(app), now=utc_now()), as_json)


@schedules_command.command("edit", cls=Command)
@click.argument("name")
@options(*OPTIONS)
@json_option
@pass_app
def edit_command(app: App, /, name: str, as_json: bool, **fields: Any) -> None:
    """Change what is named; the rest stays."""
    from console.operations import schedules

    for one, other in (("cron", "every"), ("text", "template")):
        if None not in (fields[one], fields[other]):
            raise click.UsageError(f"--{one} or --{other}, not both")
    values = _values(fields)
    if fields["text"] is not None:
        values["template"] = None
    with app.database():
        _print(schedules.edit(name, values, rules=_rules(app), now=utc_now()), as_json)


@schedules_command.command("pause", cls=Command)
@click.argument("name")
@pass_app
def pause_command(app: App, name: str) -> None:
    """Let due times pass without a run."""
    from console.operations import schedules

    with app.database():
        schedules.pause(name)
    say(f"paused: {name}")


@schedules_command.command("resume", cls=Command)
@click.argument("name")
@pass_app
def resume_command(app: App, name: str) -> None:
    """Run again, from the next due time on."""
    from console.operations import schedules

    with app.database():
        schedules.resume(name, now=utc_now())
    say(f"resumed: {name}")


@schedules_command.command("run", cls=Command)
@click.argument("name")
@json_option
@pass_app
def run_command(app: App, name: str, as_json: bool) -> None:
    """Start one run now, besides the due times."""
    from console.operations import schedules

    with app.database():
        task_id = schedules.run(name, now=utc_now())
    if as_json:
        print_json({"task_id": task_id})
    else:
        say(f"submitted: {task_id}")


@schedules_command.command("remove", cls=Command)
@click.argument("name")
@pass_app
def remove_command(app: App, name: str) -> None:
    """Remove the schedule; the tasks of its runs stay."""
    from console.operations import schedules

    with app.database():
        schedules.remove(name)
    say(f"removed: {name}")


def _values(fields: dict[str, Any]) -> dict[str, Any]:
    """The options that were written, by column."""
    from console.operations import templates

    line = {key: fields[key] for key in TASK_FIELDS if fields[key] is not None}
    if fields["text"] is not None:
        line["description"] = fields["text"]
    names = ("cron", "every", "zone", "template", "catch_up", "keep")
    values = {key: fields[key] for key in names if fields[key] is not None}
    if fields["pairs"]:
        values["variables"] = templates.pairs(fields["pairs"])
    return {**values, "line": line} if line or fields["template"] else values


def _rules(app: App) -> Any:
    from console.operations.submission import Rules

    backends = tuple(spec.name for spec in app.settings.backends)
    return Rules(base=Path.cwd(), file_roots=app.settings.roots_for_submitting, backends=backends)


def _next(shown: ShownSchedule) -> str:
    if shown.paused:
        return "paused"
    return f"{shown.next[0]:{TIMES}}" if shown.next else "never"


def _print(details: ScheduleDetails, as_json: bool) -> None:
    if as_json:
        print_json(details)
        return
    say(f"{details.name}{' (paused)' if details.paused else ''}", "bold")
    say(details.problem or f"{details.words}, {details.zone}")
    for at in details.next:
        say(f"  {at:{TIMES}}", "dim")
    rows = [[f"{run.due_at:{TIMES}}", run.in_words(), run.task_id or ""] for run in details.runs]
    columns = (Column("DUE (UTC)"), Column("WHAT BECAME OF IT", flexible=True), Column("TASK"))
    print_table(columns, rows, empty="no runs yet", title="\nlast runs")
