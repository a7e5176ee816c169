"""``kos cancel`` and ``kos retry``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import click

from console.cli.app import App, pass_app
from console.cli.error_mapping import DONE, WRONG
from console.cli.framework import Command, json_option
from console.cli.output import note, print_json, say
from console.cli.tasks import chosen_by, filter_options

if TYPE_CHECKING:
    from console.operations.reruns import Reruns
    from console.operations.tasks import Cancelled, Retried, UnchangedTask

    Done = TypeVar("Done", Cancelled, Retried, Reruns)

PAGE = 1000
OPEN = ("pending", "queued", "in_progress")

LOCKED = (
    "its row is locked by somebody's open transaction; end that (`SELECT * FROM pg_stat_activity "
    "WHERE state LIKE 'idle in transaction%'` shows it), then try again"
)


def dry_run_option(function: Any) -> Any:
    return click.option("--dry-run", is_flag=True, help="Say which, and change nothing.")(function)


@click.command(
    cls=Command,
    examples=(
        ("kos cancel 3f2a90 9b11c4", "stop two"),
        ("kos cancel --all-pending --yes", "empty the backlog; what runs goes on"),
        ("kos cancel --model llama3:70b --dry-run", "which open tasks of a model that would stop"),
    ),
)
@click.argument("task_ids", metavar="[ID]...", nargs=-1)
@click.option("--all-pending", is_flag=True, help="Every task that has not started.")
@filter_options
@dry_run_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_app
def cancel_command(
    app: App,
    /,
    task_ids: tuple[str, ...],
    all_pending: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **filters: Any,
) -> int:
    """Cancel tasks: waiting ones at once, running ones as soon as their worker hears of it.

    The options that choose tasks are those of `kos tasks`; of them, those that have not ended.
    """
    from console.operations import tasks

    statuses = ("pending", "queued") if all_pending else ()
    chosen = _chosen(app, task_ids, filters, statuses, otherwise=OPEN)
    if dry_run:
        return _preview("would be cancelled", chosen, as_json=as_json)
    if chosen and not task_ids and not yes:
        click.confirm(f"Cancel {len(chosen)} tasks?", abort=True, err=True)
    done = _in_pages(app, chosen, tasks.cancel)
    if as_json:
        print_json(done)
    else:
        _print("cancelled", done.cancelled)
        _print("asked to stop", done.stopping)
        _print_unchanged(done.unchanged, "had ended")
    return _code(len(done.cancelled) + len(done.stopping), done.unchanged, bool(task_ids))


@click.command(
    cls=Command,
    examples=(
        ("kos retry 3f2a90", "one that failed"),
        ("kos retry --failed --since today", "all that failed of today's"),
        ('kos retry --error "timed out" --backend ollama', "what failed there for that reason"),
        ("kos retry 3f2a90 --model qwen3:8b", "the same task as a new one, with this model"),
        ("kos retry 3f2a90 --again", "a completed one, unchanged, as a new task"),
    ),
)
@click.argument("task_ids", metavar="[ID]...", nargs=-1)
@click.option("--failed", is_flag=True, help="Every failed task.")
@click.option("--cancelled", is_flag=True, help="Every cancelled task.")
@click.option("--again", is_flag=True, help="Run the named tasks as new ones; they stay.")
@filter_options
@dry_run_option
@json_option
@pass_app
def retry_command(
    app: App,
    /,
    task_ids: tuple[str, ...],
    failed: bool,
    cancelled: bool,
    again: bool,
    dry_run: bool,
    as_json: bool,
    **filters: Any,
) -> int:
    """Send failed or cancelled tasks through again, with fresh counters.

    The options that choose tasks are those of `kos tasks`; of them, those that failed. With ids,
    --model, --expert and --backend run them as new tasks there, also completed ones.
    """
    from console.operations import reruns, tasks

    changes = {name: filters[name] for name in reruns.CHANGES if task_ids and filters[name]}
    if again or changes:
        filters |= dict.fromkeys(reruns.CHANGES) if task_ids else {}
        return _run_again(app, task_ids, filters, changes, dry_run=dry_run, as_json=as_json)

    named = (("failed", failed), ("cancelled", cancelled))
    statuses = tuple(status for status, wanted in named if wanted)
    chosen = _chosen(app, task_ids, filters, statuses, otherwise=("failed",))
    if dry_run:
        return _preview("would be sent through again", chosen, as_json=as_json)
    done = _in_pages(app, chosen, tasks.retry)
    if as_json:
        print_json(done)
    else:
        _print("sent through again", done.retried)
        _print_unchanged(done.unchanged, "cannot be retried: only failed or cancelled can")
    return _code(len(done.retried), done.unchanged, bool(task_ids))


def _run_again(
    app: App,
    task_ids: tuple[str, ...],
    filters: dict[str, Any],
    changes: dict[str, str],
    *,
    dry_run: bool,
    as_json: bool,
) -> int:
    from console.operations import reruns
    from console.operations.rules import rules_of

    chosen = _chosen(app, task_ids, filters, (), otherwise=("completed", "failed", "cancelled"))
    if dry_run:
        return _preview("would run again as new tasks", chosen, as_json=as_json)
    rules = rules_of(app.connections)
    done = _in_pages(app, chosen, lambda page: reruns.rerun(page, changes, rules=rules))
    if as_json:
        print_json(done)
    else:
        _print("submitted", [one.id for one in done.reruns])
        _print_unchanged(done.unchanged, "cannot run again")
    return _code(len(done.reruns), done.unchanged, bool(task_ids))


def _chosen(
    app: App,
    task_ids: tuple[str, ...],
    filters: dict[str, Any],
    statuses: tuple[str, ...],
    *,
    otherwise: tuple[str, ...],
) -> list[str]:
    """The ids meant; ``otherwise`` are the statuses of a filter that names none."""
    from console.operations import ids
    from models.task_views import newest_ids

    wanted = chosen_by(app, filters)
    if bool(task_ids) == bool(statuses or not wanted.is_empty):
        raise click.UsageError("name some ids, or one of the options that choose them")
    with app.database():
        if task_ids:
            return ids.resolve_all(task_ids)
        every = (*statuses, *wanted.statuses) or otherwise
        return newest_ids(replace(wanted, statuses=every), limit=None)[::-1]


def _preview(what: str, task_ids: list[str], *, as_json: bool) -> int:
    if as_json:
        print_json({"dry_run": True, "ids": task_ids})
    elif task_ids:
        _print(what, task_ids)
    else:
        say("no task matches")
    return DONE


def _in_pages(app: App, chosen: list[str], action: Callable[[list[str]], Done]) -> Done:
    """What ``action`` did to all of them: each field holds the values of every page."""
    from console.operations.documents import fields_of

    starts = range(0, max(1, len(chosen)), PAGE)
    with app.database():
        pages = [action(chosen[start : start + PAGE]) for start in starts]
    every = zip(*(fields_of(page).values() for page in pages), strict=True)
    return type(pages[0])(*(list(chain.from_iterable(values)) for values in every))


def _code(changed: int, unchanged: Sequence[UnchangedTask], by_name: bool) -> int:
    """Asking for tasks that cannot be changed is a wrong request when none of them could."""
    return WRONG if by_name and unchanged and not changed else DONE


def _print(what: str, task_ids: Sequence[str]) -> None:
    if task_ids:
        listed = ", ".join(task_id[:8] for task_id in task_ids[:5])
        more = f" and {len(task_ids) - 5} more" if len(task_ids) > 5 else ""
        say(f"{len(task_ids)} {what}: {listed}{more}")


def _print_unchanged(unchanged: Sequence[UnchangedTask], why: str) -> None:
    for entry in unchanged[:20]:
        reason = LOCKED if getattr(entry, "locked", False) else getattr(entry, "error", why)
        note(f"{entry.id[:8]} is {entry.status}: {reason}", "yellow")
