"""``kos completion``."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from console.cli.framework import Command, Word

SHELLS = ("bash", "zsh", "fish")


@click.command(
    cls=Command,
    examples=(
        ('eval "$(kos completion bash)"', "in ~/.bashrc"),
        ('eval "$(kos completion zsh)"', "in ~/.zshrc, after compinit"),
        ("kos completion fish > ~/.config/fish/completions/kos.fish", "for fish"),
    ),
)
@click.argument("shell", type=Word(SHELLS), required=False, metavar="bash|zsh|fish")
def completion_command(shell: str | None) -> None:
    """Print the completion script of a shell, your own by default."""
    from console.cli.main import cli

    name = shell or Path(os.environ.get("SHELL", "bash")).name
    if name not in SHELLS:
        raise click.UsageError(f"no completion for {name}: write one of {', '.join(SHELLS)}")
    completion_class = get_completion_class(name)
    assert completion_class is not None
    # `source` asks bash for its version, which a machine without bash cannot tell.
    script = completion_class(cli, {}, "kos", "_KOS_COMPLETE")
    click.echo(script.source_template % script.source_vars())
