"""The shapes of commands: loaded when called, with examples in their help and suggestions."""

from __future__ import annotations

import difflib
import importlib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from console.cli.commands import COMMANDS, SECTIONS

F = TypeVar("F", bound=Callable[..., Any])
Examples = Sequence[tuple[str, str]]
HELP_WIDTH = {"max_content_width": 100, "help_option_names": ["-h", "--help"]}


class Command(click.Command):
    """A command whose help ends with ``examples``: pairs of (command line, effect)."""

    def __init__(self, *args: Any, examples: Examples = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_examples(self.examples, formatter)


class Group(click.Group):
    """The same for a command with subcommands; without one it runs itself."""

    command_class = Command

    def __init__(self, *args: Any, examples: Examples = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_examples(self.examples, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        known = self.list_commands(ctx)
        if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
            hint = suggestion(name, known) or f"see `{ctx.command_path} --help`"
            raise click.UsageError(f"no command {name!r}: {hint}", ctx)
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """The root: imports the module of a command when that command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(f"console.cli.{entry.module}")
        command: click.Command = getattr(module, entry.attribute or f"{cmd_name}_command")
        command.short_help = entry.help
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from console.cli.output import words

        tell = words()
        for title, section in SECTIONS.items():
            with formatter.section(tell(title)):
                formatter.write_dl([(name, tell(entry.help)) for name, entry in section.items()])


class Word(click.Choice[str]):
    """One of a few words; a near miss is named. Upper case and ``-`` for ``_`` are understood."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        wanted = str(value).strip().lower().replace("-", "_")
        if wanted in self.choices:
            return wanted
        listed = ", ".join(self.choices)
        hint = suggestion(wanted, self.choices) or f"write one of {listed}"
        raise click.BadParameter(f"{str(value)[:60]!r} is unknown: {hint}", ctx, param)


class Seconds(click.FloatRange):
    """A duration: a finite number of seconds within the bounds."""

    def __init__(self, minimum: float = 0.0, maximum: float | None = None) -> None:
        super().__init__(minimum, maximum)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        seconds: float = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            raise click.BadParameter(
                f"{str(value)[:60]!r} is no number of seconds: write one such as 60", ctx, param
            )
        return seconds


def suggestion(wanted: str, known: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(wanted, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else None


def json_option(function: F) -> F:
    option = click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document and nothing else."
    )
    return option(function)


def complete_backends(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """The configured backends, for the shell's completion."""
    return [name for name in _backends() if name.startswith(incomplete)]


def complete_queues(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """The queues of this deployment, for the shell's completion."""
    names = ["control", "maintenance", *(f"llm-{name}" for name in _backends())]
    return [name for name in names if name.startswith(incomplete)]


def _backends() -> list[str]:
    from jobs.settings.load import SettingsError, from_environment

    try:
        return [spec.name for spec in from_environment().backends]
    except SettingsError:
        return []


def _write_examples(examples: Examples, formatter: click.HelpFormatter) -> None:
    if examples:
        with formatter.section("Examples"):
            for typed, does in examples:
                formatter.write_text(f"# {does}")
                formatter.write(f"  {typed}\n")
