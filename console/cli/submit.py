"""``kos submit``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from console.cli.app import App, pass_app
from console.cli.error_mapping import DONE, WRONG
from console.cli.framework import Command, Seconds, Word, complete_backends, json_option
from console.cli.output import note, print_json, say
from console.cli.tasks import PRIORITIES
from console.operations.submission_lines import Line
from llm.types import Category

if TYPE_CHECKING:
    from console.operations.submission import Report
    from models.task_rows import WholeTask

CATEGORIES = tuple(category.value for category in Category)
REFUSALS_SHOWN = 20
EXAMPLES = (
    ('kos submit "Summarise RFC 9110 in five lines" --wait', "one task, and its answer"),
    (
        'kos submit "Review this" --file app.py --category coding --priority high',
        "with a file, which lies inside KOS_FILE_ROOTS",
    ),
    ("kos submit --template review --vars files.csv", "a template, one task a row"),
    ("kos submit --from tasks.jsonl", "many; a custom_id is never submitted twice"),
    ("jq -c '.[]' list.json | kos submit --from - --json", "from another program"),
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("text", required=False)
@click.option("--from", "source", type=click.File("rb"), metavar="FILE|-", help="JSONL of tasks.")
@click.option("--template", metavar="NAME", help="A template of `kos templates`.")
@click.option("--var", "pairs", multiple=True, metavar="NAME=VALUE", help="For --template.")
@click.option(
    "--vars",
    "table",
    type=click.File("rb"),
    metavar="FILE",
    help="CSV, TSV or JSONL: a task a row.",
)
@click.option("--title", help="A short name; else the first line of the text.")
@click.option("--priority", type=Word(PRIORITIES), metavar="|".join(PRIORITIES))
@click.option("--category", type=Word(CATEGORIES), metavar="|".join(CATEGORIES))
@click.option("--expert", metavar="NAME", help="Who shall do it; else the best match.")
@click.option("--backend", metavar="NAME", help="Only there.", shell_complete=complete_backends)
@click.option("--model", metavar="NAME", help="With this model.")
@click.option("--schema", type=click.File("rb"), metavar="FILE", help="JSON schema of the answer.")
@click.option("--file", "files", multiple=True, metavar="PATH", help="To be read; may repeat.")
@click.option("--tag", "tags", multiple=True, metavar="WORD", help="To find it by; may repeat.")
@click.option("--project", metavar="NAME", help="Of `kos projects`, or a new one.")
@click.option("--after", multiple=True, metavar="ID", help="Only when that one is completed.")
@click.option("--key", metavar="K", help="A custom_id: the same key is submitted once.")
@click.option("--wait", "waiting", is_flag=True, help="Wait for the end, show the answer.")
@click.option("--timeout", type=Seconds(), metavar="S", help="For --wait, seconds.")
@json_option
@pass_app
def submit_command(
    app: App,
    /,
    text: str | None,
    source: BinaryIO | None,
    template: str | None,
    pairs: tuple[str, ...],
    table: BinaryIO | None,
    waiting: bool,
    timeout: float | None,
    as_json: bool,
    **fields: Any,
) -> int:
    """Submit one task (TEXT), a template filled with variables, or a JSONL file of tasks.

    A line of the file is {"description", "title"?, "custom_id"?, "priority"?, "category"?,
    "expert"?, "backend"?, "model"?, "after"?: [custom_id], "schema"?, "files"?, "tags"?: [word],
    "project"?, "metadata"?}.
    Wrong lines are refused with their reason, the others go in; the exit code is then 2.
    """
    from console.operations.rules import rules_of
    from console.operations.submission import submit

    _check_usage(text, source, template, fields, waiting=waiting, timeout=timeout)
    if template is None and (pairs or table):
        raise click.UsageError("--var and --vars belong to --template")
    rules = rules_of(app.connections, base=_base(source))
    app.connections.use_database()
    with ExitStack() as stack:
        if source is not None:
            lines, on_line = _from_file(source, stack)
        elif template is not None:
            stack.enter_context(app.database())
            lines, on_line = _from_template(template, pairs, table, _line(app, fields)), None
        else:
            lines, on_line = iter([Line(1, value=_single(app, text or "", fields))]), None
        report = submit(lines, rules=rules, on_line=on_line)
    ids = report.task_ids
    if not as_json:
        _print(report, ids, single=source is None and table is None)
    code, tasks = DONE, None
    if waiting and ids:
        code, tasks = _wait_for_them(app, ids, timeout, as_json)
    if as_json:
        print_json(report.document() | ({"tasks": tasks} if tasks is not None else {}))
        _print_refusals(report, limit=1)
    return WRONG if report.rejected else code


def _check_usage(
    text: str | None,
    source: BinaryIO | None,
    template: str | None,
    fields: dict[str, Any],
    *,
    waiting: bool,
    timeout: float | None,
) -> None:
    if sum(way is not None for way in (text, source, template)) != 1:
        raise click.UsageError(
            'write the task in quotes, or --from FILE, or --template NAME: kos submit "..."'
        )
    if timeout is not None and not waiting:
        raise click.UsageError("--timeout belongs to --wait")
    fields_set = [name for name, value in fields.items() if value]
    if source is not None and fields_set:
        names = {"files": "file", "tags": "tag"}
        option = names.get(fields_set[0], fields_set[0])
        raise click.UsageError(f"--{option} is for one task; write it into the lines of the file")


def _base(source: BinaryIO | None) -> Path:
    """The directory of relative paths: that of the JSONL file, else the current one."""
    name = _name(source)
    return Path(name).resolve().parent if name not in {"", "-", "<stdin>"} else Path.cwd()


def _name(source: BinaryIO | None) -> str:
    """Of the file; a pipe and a buffer may have none, or a number."""
    return str(getattr(source, "name", ""))


def _single(app: App, text: str, fields: dict[str, Any]) -> dict[str, Any]:
    if text == "-":
        text = sys.stdin.read()
    return {"description": text, **_line(app, fields)}


def _line(app: App, fields: dict[str, Any]) -> dict[str, Any]:
    """What the options say of the task."""
    from console.operations import ids

    line: dict[str, Any] = {}
    for name in ("title", "priority", "category", "expert", "backend", "model", "project"):
        if fields[name] is not None:
            line[name] = fields[name]
    if fields["key"] is not None:
        line["custom_id"] = fields["key"]
    if fields["files"]:
        line["files"] = list(fields["files"])
    if fields["tags"]:
        line["tags"] = list(fields["tags"])
    if fields["schema"] is not None:
        line["schema"] = _schema(fields["schema"])
    if fields["after"]:
        with app.database():
            line["after"] = ids.resolve_all(fields["after"])
    return line


def _from_template(
    name: str, pairs: tuple[str, ...], table: BinaryIO | None, over: dict[str, Any]
) -> Iterator[Line]:
    from console.operations import templates

    rows: Iterable[Line] = [Line(1, value={})]
    if table is not None:
        rows = templates.read_rows(table, _name(table))
    return templates.lines(name, rows, templates.pairs(pairs), over)


def _schema(source: BinaryIO) -> Any:
    try:
        return json.loads(source.read())
    except ValueError as error:
        raise click.UsageError(f"--schema: {source.name} is not JSON ({error})") from error


def _from_file(
    source: BinaryIO, stack: ExitStack
) -> tuple[Iterator[Line], Callable[[Line], None] | None]:
    from console.operations.submission_lines import TABLE_REMEDY, is_table, read_lines

    if is_table(_name(source)):
        raise click.UsageError(f"--from reads JSONL; {TABLE_REMEDY}")
    lines = read_lines(source)
    if not sys.stderr.isatty():
        return lines, None
    return lines, _progress_bar(source, stack)


def _progress_bar(source: BinaryIO, stack: ExitStack) -> Callable[[Line], None]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from console.cli.output import screen

    bar = stack.enter_context(
        Progress(
            BarColumn(),
            TextColumn("{task.fields[lines]} lines"),
            TimeRemainingColumn(),
            console=screen(stderr=True),
            transient=True,
        )
    )
    line_bar = bar.add_task("", total=_size_bytes(source), lines=0)

    def advance(line: Line) -> None:
        bar.update(line_bar, advance=line.size_bytes, lines=line.number)

    return advance


def _size_bytes(source: BinaryIO) -> int | None:
    try:
        return os.fstat(source.fileno()).st_size or None
    except (OSError, ValueError):
        return None


def _print(report: Report, ids: list[str], *, single: bool) -> None:
    _print_refusals(report, limit=REFUSALS_SHOWN)
    if single and ids:
        say(f"{'there already' if report.duplicates else 'submitted'}: {ids[0]}")
    elif not single:
        parts = [f"{report.submitted} submitted"]
        parts += [f"{report.duplicates} were there already"] if report.duplicates else []
        parts += [f"{len(report.rejected)} refused"] if report.rejected else []
        say(", ".join(parts))


def _print_refusals(report: Report, *, limit: int) -> None:
    shown = sorted(report.rejected)[:limit]
    more = len(report.rejected) - len(shown)
    for one in shown:
        last = more and one is shown[-1]
        note(f"kos: line {one.line}: {one.error}{f' (and {more} more)' if last else ''}", "red")


def _wait_for_them(
    app: App, ids: list[str], timeout: float | None, as_json: bool
) -> tuple[int, list[WholeTask] | None]:
    """The exit code, and the tasks for JSON."""
    from console.cli.wait import wait_for
    from console.operations import tasks

    single = len(ids) == 1
    code = wait_for(app, ids, timeout_seconds=timeout, silent=as_json or single)
    if not (as_json or single):
        return code, None
    with app.database():
        rows = [tasks.details(task_id) for task_id in ids]
    if as_json:
        return code, rows
    if rows[0].result:
        say(rows[0].result, ours=False)
    else:
        note(f"{rows[0].status}: {rows[0].last_error or 'no answer yet'}", "red")
    return code, None
