"""The main job on ``examples/``: ``python -m console.demo``, as ``scripts/demo`` runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from console.cli.error_mapping import DONE, RED, TIMED_OUT, run_guarded
from console.cli.framework import Seconds
from console.cli.models import adding_bar
from console.cli.output import screen
from console.cli.text import one_line
from console.operations import models, submission, wait
from console.operations.errors import InvalidInput, OperationError
from console.operations.submission_lines import Line, read_lines
from console.operations.summary import Summary, summarise
from console.supervision.addresses import dashboard_url
from console.supervision.simulated import Absent, serves_mlx, some_server_answers
from console.supervision.start import up
from console.supervision.status import status
from console.supervision.stop import down
from jobs.process.clock import utc_now
from jobs.settings.load import Settings, from_environment, shipped
from llm.model_files.known import KNOWN
from models import database
from models.task_figures import answers_among

EXAMPLES = shipped("examples")
TIMEOUT_SECONDS = 170.0
ANSWER_CHARACTERS = 280
TINY = (
    "These answers are real, and so are their mistakes: the model is tiny "
    "(135 million parameters).\n"
    "A better one is one command away: ollama pull qwen3:8b, or kos models add FILE.gguf"
)
REAL_SETTINGS = {
    "MLX_MAX_CONCURRENT": "16",
    "SMART_WORKER_MAX_CONCURRENT": "16",
    "SMART_WORKER_RETRY_DELAY_SEC": "2",
}
"""A small model earns by many streams at once, and nobody wants to watch a demo wait a minute and a
half for a third attempt; what is set already counts."""


@dataclass(frozen=True, slots=True)
class Run:
    """One pass of the demo: which tasks, and what happens to servers that do not answer."""

    title: str
    tasks: str
    absent: Absent


REAL = Run("a real model", "small-tasks.jsonl", Absent.LEAVE_OUT)
SIMULATED = Run("a simulated fleet", "tasks.jsonl", Absent.SIMULATE)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--keep", is_flag=True, help="Leave everything running afterwards.")
@click.option("--simulated", is_flag=True, help="The fleet: 65 tasks, simulated model servers.")
@click.option("--both", is_flag=True, help="The real model first, then the fleet.")
@click.option(
    "--timeout", type=Seconds(), default=TIMEOUT_SECONDS, show_default=True, help="Seconds to wait."
)
def demo(keep: bool, simulated: bool, both: bool, timeout: float) -> None:
    """Start everything, run tasks of examples/ through it, and show what became of them.

    Where no model server of yours answers, the tasks go to a small real model on our own MLX API
    server; it is fetched once (93 MB).
    """
    runs = [SIMULATED] if simulated else _real_run()
    if both and SIMULATED not in runs:
        runs.append(SIMULATED)
    codes: list[int] = []
    for run in runs:
        if codes:
            down(from_environment())
        codes.append(_run(run, timeout))
    _print_next(from_environment(), keep=keep)
    raise click.exceptions.Exit(max(codes))


def _real_run() -> list[Run]:
    """The real model where it can be had; else the simulators, and the reason."""
    console = screen()
    for name, value in REAL_SETTINGS.items():
        os.environ.setdefault(name, value)
    settings = from_environment()
    try:
        if not some_server_answers(settings) and not serves_mlx(settings):
            console.print("Fetching a small real model (93 MB, once) ...", style="bold")
            with adding_bar("smollm2") as on_progress:
                models.add(settings, "smollm2", name=None, sha256=None, on_progress=on_progress)
            if not serves_mlx(settings):
                raise InvalidInput("KOS_MLX_SERVER or MLX_API_URL keeps our server from running")
    except OperationError as error:
        console.print(f"No real model: {error}", style="yellow")
        console.print("So the model servers are simulated; their answers say so.", style="yellow")
        return [SIMULATED]
    return [REAL]


def _run(run: Run, timeout: float) -> int:
    console = screen()
    console.print(f"Knowledge OS Jobs with {run.title}: starting ...", style="bold")
    settings = up(
        from_environment(),
        demo=True,
        absent=run.absent,
        say=lambda line: console.print(f"  {line}"),
    )
    console.print(f"  {len(status(settings))} programs are running")
    assert settings.database_url is not None
    database.configure(settings.database_url, pool_size=4, application_name="kos-demo")
    began = time.monotonic()
    report = _submit(settings, run.tasks)
    progress, ended = _wait(report.ids, timeout, show_answers=run is REAL)
    seconds = time.monotonic() - began
    with database.session():
        _print_result(summarise(report.ids), report, seconds)
    if not ended:
        left = progress.total - progress.ended
        console.print(f"{left} of {progress.total} tasks have not ended; kos status:", style="red")
        subprocess.run([_kos(), "status"], check=False)
    return DONE if ended and not progress.failed else RED if ended else TIMED_OUT


def _submit(settings: Settings, file: str) -> submission.Report:
    console = screen()
    rules = submission.Rules(
        base=EXAMPLES,
        file_roots=settings.roots_for_submitting,
        backends=tuple(spec.name for spec in settings.backends),
    )
    with (EXAMPLES / file).open("rb") as source:
        mark = utc_now().strftime("%Y%m%d-%H%M%S")
        report = submission.submit(_marked(read_lines(source), mark), rules=rules)
    console.print(f"  {report.submitted} tasks of examples/{file} submitted")
    for one in sorted(report.rejected):
        console.print(f"  line {one.line} refused, on purpose: {one.error}", style="yellow")
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


def _wait(
    task_ids: Sequence[str], timeout: float, *, show_answers: bool
) -> tuple[wait.Progress, bool]:
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = screen()
    printed: set[str] = set()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        line = bar.add_task("tasks ended", total=len(task_ids))

        def on_progress(progress: wait.Progress) -> None:
            bar.update(line, completed=progress.ended)
            if show_answers and progress.ended > len(printed):
                _print_answers(console, task_ids, printed)

        return wait.wait_for_tasks(task_ids, timeout_seconds=timeout, on_progress=on_progress)


def _print_answers(console: Console, task_ids: Sequence[str], printed: set[str]) -> None:
    """The answers that came since: title, and two or three lines of each."""
    with database.session():
        answers = answers_among(task_ids, besides=printed)
    for answer in answers:
        printed.add(answer.id)
        console.print(f"\n  {answer.title}", style="bold" if answer.completed else "bold red")
        text = one_line(answer.text, max_chars=ANSWER_CHARACTERS)
        console.print(fill(text, 96, initial_indent="    ", subsequent_indent="    "))


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
    tokens = sum(row.tokens or 0 for row in summary.rows)
    console.print(
        f"{report.submitted} tasks in {seconds:.1f} s ({report.submitted / seconds * 60:.0f} a "
        f"minute, {tokens / seconds:.0f} tokens/s), "
        f"{summary.loads} model loads for {summary.models} models, "
        f"{summary.blocks} blocks, {len(report.rejected)} lines refused"
    )
    if tokens and any(row.model == KNOWN["smollm2"].folder for row in summary.rows):
        console.print(TINY, style="yellow")
    for failure in summary.failures:
        console.print(f"failed: {failure.title}: {failure.last_error}", style="red")


def _print_next(settings: Settings, *, keep: bool) -> None:
    console = screen()
    if not keep:
        console.print("Stopping everything. To look around: scripts/demo --keep", style="dim")
        return
    kos = _kos()
    steps: Mapping[str, str] = {
        dashboard_url(settings): "the dashboard",
        f"{kos} tasks": "what was done",
        f"{kos} why ID": "why it went where it went",
        f'{kos} submit "Summarise ..." --wait': "a task of your own",
        f"{kos} down": "stop everything",
    }
    for step, purpose in steps.items():
        console.print(f"  {step:<60} {purpose}")


def _kos() -> Path:
    return Path(sys.executable).with_name("kos")


def main() -> int:
    return run_guarded(lambda: demo.main(standalone_mode=False), log_directory=lambda: None)


if __name__ == "__main__":
    sys.exit(main())
