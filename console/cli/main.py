"""``kos``: the one command of Knowledge OS Jobs."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence

import click

from console.cli.app import App
from console.cli.error_mapping import run_guarded
from console.cli.framework import HELP_WIDTH, LazyGroup

EXAMPLES = (
    ("kos up --demo", "start everything, with simulated model servers where none runs"),
    ('kos submit "Summarise RFC 9110 in five lines" --wait', "one task, and its answer"),
    ("kos submit --from examples/tasks.jsonl", "many tasks"),
    ("kos watch", "see them run"),
)


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings=HELP_WIDTH,
    examples=EXAMPLES,
)
@click.option("--version", is_flag=True, help="Print the version.")
@click.pass_context
def cli(context: click.Context, version: bool) -> None:
    """Knowledge OS Jobs: a company of experts on your own model servers.

    Exit codes: 0 done, 1 some task failed or some check is red, 2 wrong usage or input, 3 timed
    out, 4 a service cannot be reached.
    """
    if version:
        from console.version import version as installed

        click.echo(f"kos {installed() or '(run from a checkout)'}")
    elif context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. Every error becomes one line on stderr."""
    _open_closed_streams()
    _tolerate_old_terminals()
    app = App()
    # What libraries log is for the programs' logs; a command speaks for itself.
    logging.getLogger().addHandler(logging.NullHandler())
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return run_guarded(
            lambda: cli.main(args=words, prog_name="kos", standalone_mode=False, obj=app),
            log_directory=app.log_directory,
        )
    finally:
        app.close()


def _open_closed_streams() -> None:
    """Python has None for a stream that the caller closed, and its number would go to the next
    file or socket."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _tolerate_old_terminals() -> None:
    """A Russian title on an ASCII terminal is escaped instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
