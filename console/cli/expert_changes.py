"""The commands of ``kos experts`` that change something."""

from __future__ import annotations

import getpass
import json
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from console.cli.app import App, pass_app
from console.cli.error_mapping import DONE, WRONG
from console.cli.framework import Command, json_option
from console.cli.output import note, print_json, say

if TYPE_CHECKING:
    from console.operations.experts import AddedExperts, EditedExpert, ImportedExperts

CHANGES = (
    click.option("--role", metavar="TEXT"),
    click.option("--department", metavar="TEXT"),
    click.option("--prompt", metavar="TEXT", help="The system prompt."),
    click.option("--prompt-file", type=click.File("r", encoding="utf-8"), metavar="FILE|-"),
    click.option("--model", metavar="MODEL", help="Its model; '' for none."),
    click.option(
        "--set", "pairs", multiple=True, metavar="KEY=VALUE",
        help="A default of its tasks: temperature=0.2, language=ru; KEY= takes it away.",
    ),
)  # fmt: skip


def change_options(function: Any) -> Any:
    for option in reversed(CHANGES):
        function = option(function)
    return function


@click.command(
    "add",
    cls=Command,
    examples=(
        ("kos experts add --from experts.jsonl", "a line is an object, see docs/cli.md"),
        ('kos experts add Vera --department QA --prompt "You test."', "one by its options"),
    ),
)
@click.argument("name", required=False)
@click.option(
    "--from", "source", type=click.File("rb"), metavar="FILE|-",
    help="JSONL with name, role, department, system_prompt.",
)  # fmt: skip
@change_options
@json_option
@pass_app
def add_command(
    app: App, /, name: str | None, source: BinaryIO | None, as_json: bool, **options: Any
) -> int:
    """Add an expert, or those of a JSONL file; whoever is there already stays as they are."""
    from console.operations import experts
    from console.operations.submission_lines import read_lines

    if (name is None) == (source is None):
        raise click.UsageError("give a NAME, or --from FILE")
    with app.database():
        if source is not None:
            document = experts.add(read_lines(source), author=author())
            return _say_added(document, as_json=as_json)
        fields, settings = _changes(options)
        metadata = {key: value for key, value in settings.items() if value is not None}
        values = {"name": (name or "").strip(), **fields, "metadata": metadata}
        done = experts.add_one(values, author=author())
    print_json(done) if as_json else say(f"{done.name} was added")
    return DONE


@click.command(
    "edit",
    cls=Command,
    examples=(
        ("kos experts edit Vera --prompt-file vera.txt", "a new version of the prompt"),
        ("kos experts edit Vera --model qwen3:8b --set temperature=0.2", "defaults of its tasks"),
        ("kos experts edit Vera --restore 2", "back to the prompt of version 2"),
    ),
)
@click.argument("name")
@change_options
@click.option(
    "--restore",
    type=click.IntRange(min=1),
    metavar="VERSION",
    help="Back to the prompt of that version.",
)
@json_option
@pass_app
def edit_command(
    app: App, /, name: str, restore: int | None, as_json: bool, **options: Any
) -> None:
    """Change an expert; every version of its prompt is kept (`kos experts show NAME`)."""
    from console.operations import experts

    fields, settings = _changes(options)
    if (restore is not None) == bool(fields or settings):
        raise click.UsageError("name what to change, or --restore VERSION")
    with app.database():
        if restore is not None:
            done = experts.restore(name, restore, author=author())
        else:
            done = experts.edit(name, fields, settings=settings, author=author())
    _say_edited(done, as_json=as_json)


@click.command(
    "deactivate", cls=Command, examples=(("kos experts deactivate Vera", "no new tasks for it"),)
)
@click.argument("name")
@json_option
@pass_app
def deactivate_command(app: App, name: str, as_json: bool) -> None:
    """Give an expert no new tasks; its own go on."""
    _set_active(app, name, active=False, as_json=as_json)


@click.command(
    "activate", cls=Command, examples=(("kos experts activate Vera", "new tasks again"),)
)
@click.argument("name")
@json_option
@pass_app
def activate_command(app: App, name: str, as_json: bool) -> None:
    """Give an expert new tasks again."""
    _set_active(app, name, active=True, as_json=as_json)


@click.command(
    "import",
    cls=Command,
    examples=(("kos experts import experts.jsonl", "add what is missing, change what differs"),),
)
@click.argument("source", type=click.File("rb"), metavar="FILE|-")
@json_option
@pass_app
def import_command(app: App, source: BinaryIO, as_json: bool) -> int:
    """Add the experts of a JSONL file that are missing, and change those that differ, by name.

    What a line leaves out stays as it is.
    """
    from console.operations import experts
    from console.operations.submission_lines import read_lines

    with app.database():
        document = experts.bring_in(read_lines(source), author=author())
    if as_json:
        print_json(document)
        return WRONG if document.rejected else DONE
    sizes = (len(names) for names in (document.added, document.changed, document.unchanged))
    say("{} added, {} changed, {} unchanged".format(*sizes))
    for name in document.added:
        say(f"  {name}: added")
    for row in document.changed:
        say(f"  {row.name}: {', '.join(row.fields)}")
    return _say_rejected(document)


def author() -> str:
    """Who runs this command, as the versions of a prompt name them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return ""


def _set_active(app: App, name: str, *, active: bool, as_json: bool) -> None:
    from console.operations import experts

    with app.database():
        done = experts.edit(name, {"is_active": active}, author=author())
    _say_edited(done, as_json=as_json)


def _changes(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields and the metadata keys that the options set; None takes a key away."""
    fields = {name: options[name] for name in ("role", "department") if options[name] is not None}
    prompt, file = options["prompt"], options["prompt_file"]
    if prompt is not None and file is not None:
        raise click.UsageError("give --prompt or --prompt-file, not both")
    if prompt is not None or file is not None:
        fields["system_prompt"] = prompt if file is None else file.read()
    settings = dict(_pair(pair) for pair in options["pairs"])
    if options["model"] is not None:
        settings["preferred_model"] = options["model"] or None
    return fields, settings


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise click.UsageError(f"--set {text[:60]!r}: write KEY=VALUE")
    try:
        return key.strip(), json.loads(value) if value else None
    except ValueError:
        return key.strip(), value


def _say_added(document: AddedExperts, *, as_json: bool) -> int:
    if as_json:
        print_json(document)
        return WRONG if document.rejected else DONE
    say(f"{document.added} added, {document.existing} were there already")
    if document.existing:
        note("`kos experts import FILE` also changes those that differ")
    return _say_rejected(document)


def _say_edited(done: EditedExpert, *, as_json: bool) -> None:
    if as_json:
        print_json(done)
    elif done.fields:
        say(f"{done.name}: changed {', '.join(done.fields)}")
    else:
        say(f"{done.name}: nothing to change")


def _say_rejected(document: AddedExperts | ImportedExperts) -> int:
    for entry in document.rejected:
        note(f"line {entry.line}: {entry.error}", "red")
    return WRONG if document.rejected else DONE
