"""The shapes of commands: loaded when called, with examples in their help and suggestions."""

from __future__ import annotations

import difflib
import importlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from console.cli.commands import COMMANDS, SECTIONS

if TYPE_CHECKING:
    from console.words import Words

F = TypeVar("F", bound=Callable[..., Any])
Examples = Sequence[tuple[str, str]]
HELP_WIDTH = {"max_content_width": 100, "help_option_names": ["-h", "--help"]}


class Command(click.Command):
    """A command whose help is in the reader's language and ends with ``examples``: pairs of
    (command line, effect)."""

    def __init__(self, *args: Any, examples: Examples = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def sentences(self) -> Iterator[str]:
        """What its help says, as the catalogues have it."""
        yield from _paragraphs(self.help)
        yield from filter(None, (getattr(one, "help", None) for one in self.params))
        yield from (does for _, does in self.examples)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        pieces = " ".join(self.collect_usage_pieces(ctx))
        formatter.write_usage(ctx.command_path, pieces, prefix=f"{_words()('Usage:')} ")

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.indentation():
            for paragraph in _paragraphs(self.help):
                formatter.write_paragraph()
                formatter.write_text(_words()(paragraph))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        records = [(one, one.get_help_record(ctx)) for one in options]
        with formatter.section(_words()("Options")):
            formatter.write_dl([_spoken(one, *record) for one, record in records if record])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section(_words()("Examples")):
                for typed, does in self.examples:
                    formatter.write_text(f"# {_words()(does)}")
                    formatter.write(f"  {typed}\n")


class Group(Command, click.Group):
    """The same for a command with subcommands; without one it runs itself."""

    command_class = Command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section(_words()("Commands")):
            formatter.write_dl([(name, self._short(ctx, name)) for name in self.list_commands(ctx)])

    def _short(self, ctx: click.Context, name: str) -> str:
        command = self.get_command(ctx, name)
        return _words()(next(_paragraphs(command.help if command else "")))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        known = self.list_commands(ctx)
        if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
            hint = suggestion(name, known) or f"see `{ctx.command_path} --help`"
            raise click.UsageError(f"no command {name!r}: {hint}", ctx)
        return super().resolve_command(ctx, args)


class ReaderIsGone(Exception):
    """A broken pipe; click would end the program for one with code 1."""


class LazyGroup(Group):
    """The root: imports the module of a command when that command is called."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderIsGone from error

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
        for title, section in SECTIONS.items():
            with formatter.section(_words()(title)):
                formatter.write_dl(
                    [(name, _words()(entry.help)) for name, entry in section.items()]
                )


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


def _words() -> Words:
    # Only help needs the catalogues.
    from console.cli.output import words

    return words()


def _paragraphs(text: str | None) -> Iterator[str]:
    for paragraph in (text or "").split("\n\n"):
        yield " ".join(paragraph.split())


def _spoken(option: click.Option, names: str, text: str) -> tuple[str, str]:
    """A line of the options; behind its sentence stand the default and the bounds."""
    said = option.help or ""
    rest = text.removeprefix(said)
    for word in ("default: ", "required"):
        rest = rest.replace(word, _words()(word))
    return names, _words()(said) + rest
