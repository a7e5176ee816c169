"""``kos bench``."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click

from console.cli.framework import Command
from console.operations.errors import InvalidInput

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "bench"


@click.command(
    cls=Command,
    context_settings={"ignore_unknown_options": True, "help_option_names": ["-h"]},
    examples=(
        ("kos bench", "which measurements there are"),
        ("kos bench slots", "run one"),
        ("kos bench slots --help", "what may be chosen for it"),
    ),
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench_command(arguments: tuple[str, ...]) -> int:
    """Run a measurement of scripts/bench, or list them; arguments are passed on."""
    if not SCRIPT.is_file():
        raise InvalidInput(
            "scripts/bench is part of a checkout: clone the repository and run it there"
        )
    code = subprocess.run([str(SCRIPT), *arguments], check=False).returncode
    return code if 0 <= code <= 4 else 1
