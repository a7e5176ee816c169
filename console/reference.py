"""``python -m console.reference``: writes what docs and ``.env.example`` say of the code.

docs/settings.md and .env.example come from the settings and ``jobs/settings/reference.toml``,
docs/commands.md from the commands themselves.
"""

from __future__ import annotations

import dataclasses
import sys
import tomllib
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import click

from console.cli.commands import SECTIONS
from console.cli.main import cli
from jobs.settings.load import PROJECT, Settings

GENERATED = "Written by scripts/reference; change the code or jobs/settings/reference.toml instead."


class Described(NamedTuple):
    """``default`` as a person writes it, "none" for nothing."""

    name: str
    about: str
    default: str


def files() -> dict[Path, str]:
    """What each generated file shall hold."""
    return {
        PROJECT / "docs" / "settings.md": settings_page(),
        PROJECT / "docs" / "commands.md": commands_page(),
        PROJECT / ".env.example": env_example(),
    }


def described_settings() -> dict[str, list[Described]]:
    """The settings by section, as ``reference.toml`` orders them."""
    text = (PROJECT / "jobs" / "settings" / "reference.toml").read_text(encoding="utf-8")
    defaults = {
        item.metadata["env"]: _written(item.default)
        for item in dataclasses.fields(Settings)
        if "env" in item.metadata
    }
    return {
        section: [_described(name, entry, defaults) for name, entry in entries.items()]
        for section, entries in tomllib.loads(text).items()
    }


def settings_page() -> str:
    parts = [
        f"<!-- {GENERATED} -->",
        "# Settings",
        "How they are read: [operations.md](operations.md#settings). "
        "`kos config` shows those in force.",
    ]
    for section, entries in described_settings().items():
        rows = "\n".join(
            f"| `{entry.name}` | {entry.default} | {entry.about} |" for entry in entries
        )
        parts.append(f"## {section}\n\n| variable | default | |\n|---|---|---|\n{rows}")
    return "\n\n".join(parts) + "\n"


def env_example() -> str:
    """Every setting as a comment: a copy changes nothing until a line is uncommented."""
    parts = [
        f"# Copy to .env and uncomment what you change. {GENERATED}",
        "# A secret may stand in a file: NAME_FILE names it.",
    ]
    for section, entries in described_settings().items():
        lines = "\n".join(
            f"# {entry.about}; default: {entry.default}\n#{entry.name}=" for entry in entries
        )
        parts.append(f"# --- {section} ---\n{lines}")
    return "\n\n".join(parts).replace("`", "") + "\n"


def commands_page() -> str:
    parts = [
        f"<!-- {GENERATED} -->",
        "# Commands",
        "Every command with its options. What their output means: [cli.md](cli.md).",
    ]
    for title, section in SECTIONS.items():
        parts.append(f"## {title}")
        for name in section:
            command = cli.get_command(click.Context(cli), name)
            if command is not None:
                parts += _command(command, f"kos {name}")
    return "\n\n".join(parts) + "\n"


def _command(command: click.Command, path: str) -> Iterator[str]:
    context = click.Context(command, info_name=path, **command.context_settings)
    usage = " ".join((path, *command.collect_usage_pieces(context)))
    about = " ".join((command.help or "").split())
    options = [
        record
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for record in (parameter.get_help_record(context),)
        if record
    ]
    lines = "\n".join(f"- `{names}`{f': {text}' if text else ''}" for names, text in options)
    yield "\n\n".join(part for part in (f"### `{usage}`", about, lines) if part)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from _command(below, f"{path} {name}")


def _described(name: str, entry: str | dict[str, str], defaults: dict[str, str]) -> Described:
    if isinstance(entry, str):
        return Described(name, entry, defaults.get(name, "none"))
    return Described(name, entry["about"], entry["default"])


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def main() -> int:
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
