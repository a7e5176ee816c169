"""``kos wait``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime

import click

from console.cli.app import App, pass_app
from console.cli.error_mapping import DONE, RED, TIMED_OUT
from console.cli.framework import Command, Seconds, json_option
from console.cli.output import note, print_json
from console.cli.tasks import since_moment, since_option
from console.operations.wait import Progress
from jobs.process.clock import utc_now

LEFT_EVERY_SECONDS = 2.0


@click.command(
    cls=Command,
    examples=(
        ("kos wait 3f2a90 9b11c4 --timeout 60", "until both have ended"),
        ("kos wait batch_5f1c --timeout 0 --json", "how far a batch is, and when it is done"),
        ("kos wait --all", "until nothing is left to do"),
        ("kos wait --all --since today && echo good", "only count what came today"),
    ),
)
@click.argument("task_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every task there is.")
@since_option
@click.option("--timeout", type=Seconds(), metavar="S", help="Seconds; else for ever.")
@json_option
@pass_app
def wait_command(
    app: App,
    task_ids: tuple[str, ...],
    everything: bool,
    since: str | None,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Wait until tasks have ended. Exit code 1 when one of them failed, 3 when time is up."""
    from console.operations import ids

    if everything == bool(task_ids):
        raise click.UsageError("name some ids, or write --all")
    if since and not everything:
        raise click.UsageError("--since belongs to --all")
    moment = since_moment(since)
    with app.database():
        wanted = None if everything else ids.resolve_all(_with_batches(task_ids))
    return wait_for(app, wanted, timeout_seconds=timeout, since=moment, as_json=as_json)


def _with_batches(written: Sequence[str]) -> list[str]:
    """The same ids, with the tasks of a batch in place of its id."""
    from console.operations.errors import UnknownName
    from models import batch

    names: list[str] = []
    for name in written:
        found = batch.task_ids(name) if name.startswith(batch.ID_BEGINS) else [name]
        if not found:
            raise UnknownName(f"{name} has no tasks: it does not exist, or is still being checked")
        names += found
    return names


def wait_for(
    app: App,
    task_ids: Sequence[str] | None,
    *,
    timeout_seconds: float | None = None,
    since: datetime | None = None,
    as_json: bool = False,
    silent: bool = False,
) -> int:
    """Wait with a progress line on a terminal; the exit code."""
    from console.operations.wait import wait_for_tasks

    app.connections.use_database()
    with ExitStack() as stack:
        show = _progress_line(stack, app, task_ids) if sys.stderr.isatty() else None
        progress, ended = wait_for_tasks(
            task_ids, timeout_seconds=timeout_seconds, since=since, on_progress=show
        )
    if as_json:
        print_json({"ended": ended, "tasks": dict(progress.counts), "eta": _eta(app, task_ids)})
    elif not silent:
        _print(progress, ended)
    if not ended:
        return TIMED_OUT
    return RED if progress.failed else DONE


def _progress_line(
    stack: ExitStack, app: App, task_ids: Sequence[str] | None
) -> Callable[[Progress], None]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    from console.cli.output import screen

    bar = stack.enter_context(
        Bar(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=screen(stderr=True),
            transient=True,
        )
    )
    line = bar.add_task("", total=None, left="")
    clock = _Left(app, task_ids)

    def show(progress: Progress) -> None:
        bar.update(
            line,
            total=progress.total,
            completed=progress.ended,
            description=_states(progress, running_only=True),
            left=clock.text(),
        )

    return show


def _eta(app: App, task_ids: Sequence[str] | None) -> object:
    from console.operations import outlook

    with app.database():
        return outlook.as_range(outlook.end_of(task_ids, app.settings), now=utc_now())


class _Left:
    """Time left, as the plan has it; looked up now and then."""

    def __init__(self, app: App, task_ids: Sequence[str] | None) -> None:
        self._app = app
        self._task_ids = task_ids
        self._text = ""
        self._due = time.monotonic() + LEFT_EVERY_SECONDS

    def text(self) -> str:
        from console.operations import outlook
        from console.operations.times import about

        if time.monotonic() >= self._due:
            with self._app.database():
                left = outlook.end_of(self._task_ids, self._app.settings)
            self._text = f"{about(left.low, left.high)} left" if left else ""
            self._due = time.monotonic() + LEFT_EVERY_SECONDS
        return self._text


def _print(progress: Progress, ended: bool) -> None:
    if progress.total == 0:
        note("No tasks to wait for.")
        return
    states = _states(progress)
    if ended and not progress.failed:
        note(states, "green")
    elif ended:
        note(f"{states}: see `kos tasks --status failed`", "red")
    else:
        note(f"time is up: {states}", "yellow")


def _states(progress: Progress, *, running_only: bool = False) -> str:
    skipped = {"completed"} if running_only else set()
    counts = [(n, state) for state, n in sorted(progress.counts.items()) if state not in skipped]
    return ", ".join(f"{n} {state}" for n, state in counts if n)
