"""``kos open`` and ``kos logs``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import webbrowser

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command, json_option
from console.cli.output import print_json, say

TAIL_SECONDS = 60.0


@click.command(cls=Command, examples=(("kos open", "the dashboard in the browser"),))
@json_option
@pass_app
def open_command(app: App, as_json: bool) -> None:
    """Open the dashboard in the browser; where there is none, its address is printed."""
    from console.operations.status import urls

    url = urls(app.settings)["dashboard"]
    opened = webbrowser.open(url)
    print_json({"url": url, "opened": opened}) if as_json else say(url)


@click.command(
    cls=Command,
    examples=(
        ("kos logs jobs:listener", "its last fifty lines"),
        ("kos logs health -f", "and what it writes from now on"),
    ),
)
@click.argument("program")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on.")
@click.option("-n", "--lines", type=click.IntRange(1, 100_000), default=50, show_default=True)
@pass_app
def logs_command(app: App, program: str, follow: bool, lines: int) -> int:
    """Print the end of the log of a program, named as in `kos status`."""
    from console.operations.logs import log_of

    log = log_of(app.settings, program)
    command = ["tail", "-n", str(lines), *(["-F"] if follow else []), str(log)]
    if follow:
        # Tail takes our place, so that Ctrl-C or a closed pipe ends it as a shell expects.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execvp("tail", command)
    ended = subprocess.run(command, check=True, capture_output=True, timeout=TAIL_SECONDS)
    sys.stdout.write(ended.stdout.decode("utf-8", "replace"))
    return 0
