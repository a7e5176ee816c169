"""What the documentation says of settings and commands is what the code has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from dotenv import dotenv_values

from console.cli.main import cli
from console.reference import described_settings, files
from jobs.settings.load import PROJECT, SETTING_NAMES
from jobs.settings.names import OTHER_PROGRAMS_NAMES

PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
CODE = re.compile(r"```.*?```|`[^`\n]+`|^ {4}\S.*$", re.DOTALL | re.MULTILINE)
TYPED = re.compile(r"(?:^|[\s`(\"'$;&|]|\.venv/bin/)kos +([^\n`]+)", re.MULTILINE)
END_OF_COMMAND = re.compile(r"\$\(|[;>#)]|&&|\|\||(?<![\w\]])\||\|(?![\w-])")
WORD = re.compile(r"[a-z][a-z-]+")
SHOWN_AS_A_TYPO = {"taks"}


def test_generated_pages_are_those_of_the_code() -> None:
    stale = [path.name for path, text in files().items() if path.read_text("utf-8") != text]

    assert not stale, "run scripts/reference"


def test_every_setting_is_described_and_nothing_else() -> None:
    described = [entry.name for section in described_settings().values() for entry in section]

    assert len(described) == len(set(described))
    assert set(described) >= SETTING_NAMES, "add it to jobs/settings/reference.toml"
    assert set(described) <= SETTING_NAMES | OTHER_PROGRAMS_NAMES


def test_the_example_of_a_dotenv_changes_nothing() -> None:
    assert dotenv_values(PROJECT / ".env.example") == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_command_of_a_page_exists_with_its_options(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("\\|", "|")
    wrong = [
        f"kos {typed.strip()}: {problem}"
        for code in CODE.findall(text)
        for typed in TYPED.findall(code)
        if typed not in SHOWN_AS_A_TYPO
        for problem in problems(typed)
    ]

    assert not wrong


def problems(typed: str) -> Iterator[str]:
    """What the command line would refuse of ``typed``; ``a|b`` stands for each of them."""
    words = [word.strip("[].,:") for word in END_OF_COMMAND.split(typed)[0].split()]
    if not words or not re.fullmatch(r"[a-z|-]+", words[0]):
        return
    for name in words[0].split("|"):
        command = cli.get_command(click.Context(cli), name) if WORD.fullmatch(name) else cli
        if command is None:
            yield f"no command {name}"
        else:
            yield from _problems_of(command, words[1:])


def _problems_of(command: click.Command, words: list[str]) -> Iterator[str]:
    if isinstance(command, click.Group) and words and all(map(WORD.fullmatch, words[0].split("|"))):
        for name in words[0].split("|"):
            below = command.get_command(click.Context(command), name)
            if below is None:
                yield f"no command {name}"
            else:
                yield from _problems_of(below, words[1:])
        return
    if command.context_settings.get("ignore_unknown_options"):
        return
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
    used = {word.partition("=")[0] for words_ in words for word in words_.split("|")}
    yield from (
        f"no option {word}" for word in used if word not in {*known, "-"} and word.startswith("-")
    )


def test_a_planted_wrong_command_is_found() -> None:
    assert list(problems("submit 'x' --wait | cat")) == []
    assert list(problems("taks --json")) == ["no command taks"]
    assert list(problems("migrate up|sideways")) == ["no command sideways"]
    assert list(problems("up --dmeo && kos status")) == ["no option --dmeo"]
