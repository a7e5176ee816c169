"""The main job on ``examples/``: ``python -m console.demo``, as ``scripts/demo`` runs it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from console.cli.error_mapping import DONE, RED, TIMED_OUT, run_guarded
from console.cli.output import screen
from console.operations import submission, waiting
from console.operations.submission_lines import Line, read_lines
from console.operations.summary import Summary, summarise
from console.supervision.addresses import dashboard_url
from console.supervision.start import up
from console.supervision.status import status
from jobs.process.clock import utc_now
from jobs.settings.load import Settings, from_environment, shipped
from models import database

EXAMPLES = shipped("examples")
TIMEOUT_SECONDS = 170.0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--keep", is_flag=True, help="Leave everything running afterwards.")
@click.option(
    "--timeout", type=float, default=TIMEOUT_SECONDS, show_default=True, help="Seconds to wait."
)
def demo(keep: bool, timeout: float) -> None:
    """Start everything, run the tasks of examples/ through it, and show what became of them."""
    console = screen(stderr=False)
    console.print("Knowledge OS Jobs: starting ...", style="bold")
    settings = up(from_environment(), demo=True, say=lambda line: console.print(f"  {line}"))
    console.print(f"  {len(status(settings))} programs are running")
    assert settings.database_url is not None
    database.configure(settings.database_url, pool_size=4, application_name="kos-demo")
    began = time.monotonic()
    report = _submit(settings)
    progress, ended = _wait(report.ids, timeout)
    seconds = time.monotonic() - began
    with database.session():
        _print_result(summarise(report.ids), report, seconds)
    _print_next(settings, keep=keep)
    raise click.exceptions.Exit(
        DONE if ended and not progress.failed else RED if ended else TIMED_OUT
    )


def _submit(settings: Settings) -> submission.Report:
    console = screen()
    rules = submission.Rules(
        base=EXAMPLES,
        file_roots=settings.roots_for_submitting,
        backends=tuple(spec.name for spec in settings.backends),
    )
    with (EXAMPLES / "tasks.jsonl").open("rb") as source:
        mark = utc_now().strftime("%Y%m%d-%H%M%S")
        report = submission.submit(_marked(read_lines(source), mark), rules=rules)
    console.print(f"  {report.submitted} tasks of examples/tasks.jsonl submitted")
    for line, error in sorted(report.rejected):
        console.print(f"  line {line} refused: {error}", style="yellow")
    return report


def _marked(lines: Iterable[Line], mark: str) -> Iterator[Line]:
    """The same lines with ``mark`` on their ids: every run makes tasks of its own."""
    for line in lines:
        if not isinstance(line.value, dict):
            yield line
            continue
        value = dict(line.value)
        if isinstance(value.get("custom_id"), str):
            value["custom_id"] = f"{value['custom_id']}@{mark}"
        if isinstance(value.get("after"), list):
            value["after"] = [f"{parent}@{mark}" for parent in value["after"]]
        yield replace(line, value=value)


def _wait(task_ids: Sequence[str], timeout: float) -> tuple[waiting.Progress, bool]:
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = screen()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        line = bar.add_task("tasks ended", total=len(task_ids))
        return waiting.wait(
            task_ids,
            timeout_seconds=timeout,
            on_progress=lambda progress: bar.update(line, completed=progress.ended),
        )


def _print_result(summary: Summary, report: submission.Report, seconds: float) -> None:
    console = screen()
    table = Table(title="Tasks by status, backend and model", title_justify="left")
    for name in ("status", "backend", "model"):
        table.add_column(name)
    for name in ("tasks", "tokens", "loads"):
        table.add_column(name, justify="right")
    for row in summary.rows:
        table.add_row(
            row.status or "-", row.backend or "-", row.model or "-",
            str(row.tasks), str(row.tokens or 0), str(row.loads or 0),
        )  # fmt: skip
    console.print()
    console.print(table)
    console.print(
        f"{report.submitted} tasks in {seconds:.1f} s ({report.submitted / seconds * 60:.0f} a "
        f"minute), {summary.loads} model loads for {summary.models} models, "
        f"{summary.blocks} blocks, {len(report.rejected)} lines refused"
    )
    for failure in summary.failures:
        console.print(f"failed: {failure.title}: {failure.last_error}", style="red")


def _print_next(settings: Settings, *, keep: bool) -> None:
    console = screen()
    if not keep:
        console.print("Stopping everything. To look around: scripts/demo --keep", style="dim")
        return
    kos = Path(sys.executable).with_name("kos")
    steps: Mapping[str, str] = {
        dashboard_url(settings): "the dashboard",
        f"{kos} tasks": "what was done",
        f"{kos} why ID": "why it went where it went",
        f'{kos} submit "Summarise ..." --wait': "a task of your own",
        f"{kos} down": "stop everything",
    }
    for step, purpose in steps.items():
        console.print(f"  {step:<60} {purpose}")


def main() -> int:
    return run_guarded(lambda: demo.main(standalone_mode=False), log_directory=lambda: None)


if __name__ == "__main__":
    sys.exit(main())
