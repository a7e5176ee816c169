"""Every command: its help, its examples, its suggestions."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from console.cli.commands import COMMANDS
from console.cli.framework import Command, Group, Seconds
from console.cli.main import cli, main

ROOT = Path(__file__).resolve().parents[3]
CONTRACT = (
    "up", "down", "status", "ctl", "submit", "tasks", "show", "why", "wait", "cancel", "retry",
    "export", "experts", "queues", "backends", "plan", "recover", "simulate", "doctor", "migrate",
    "bench",
)  # fmt: skip
WITHOUT_JSON = {"logs", "ctl", "migrate", "service", "bench", "watch", "completion", "mcp"}


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


def test_the_contract_is_whole() -> None:
    assert set(CONTRACT) <= set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_help_ends_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    option = "-h" if name == "bench" else "--help"

    code = main([name, option])

    out = capsys.readouterr().out
    assert code == 0
    assert out.startswith(f"Usage: kos {name}")
    assert "Examples:" in out
    assert f"  kos {name}" in out or f"(kos {name}" in out


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - WITHOUT_JSON))
def test_every_command_that_shows_something_takes_json(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in command(name).params)


def all_commands() -> Iterator[click.Command]:
    for name in COMMANDS:
        found = command(name)
        yield found
        yield from found.commands.values() if isinstance(found, Group) else ()


def test_every_number_option_has_bounds_and_refuses_what_is_no_number() -> None:
    numbers = [
        param.type
        for one in all_commands()
        for param in one.params
        if isinstance(param.type, click.types.IntParamType | click.types.FloatParamType)
    ]
    assert numbers
    for kind in numbers:
        assert isinstance(kind, click.IntRange | Seconds)
        assert kind.min is not None
        for word in ("nan", "inf", "-inf", "-1"):
            with pytest.raises(click.BadParameter):
                kind.convert(word, None, None)  # type: ignore[arg-type]


def test_subcommands_are_commands_of_the_house_too() -> None:
    for name in COMMANDS:
        found = command(name)
        assert isinstance(found, Command | Group)
        if isinstance(found, Group):
            for sub in found.commands.values():
                assert isinstance(sub, Command)
                assert sub.help


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (["taks"], "did you mean tasks?"),
        (["queues", "shw", "x"], "did you mean show?"),
        (["tasks", "--stauts", "failed"], "--status"),
        (["tasks", "--status", "compleated"], "did you mean completed?"),
        (["submit", "x", "--priority", "hihg"], "did you mean high?"),
        (["submit", "x", "--category", "codding"], "did you mean coding?"),
        (["simulate", "--policy", "reload-awre"], "did you mean reload_aware?"),
        (["completion", "fsh"], "did you mean fish?"),
    ],
)
def test_a_near_miss_is_named(
    typed: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(typed)

    err = capsys.readouterr().err
    assert code == 2
    assert len(err.splitlines()) == 1
    assert hint in err


@pytest.mark.parametrize(
    "typed",
    [
        ["submit"],
        ["submit", "text", "--from", "/dev/null"],
        ["submit", "--from", "/dev/null", "--priority", "high"],
        ["submit", "--from", "/no/such/file"],
        ["submit", "x", "--timeout", "3"],
        ["wait"],
        ["wait", "--all", "id"],
        ["wait", "id", "--since", "1h"],
        ["cancel"],
        ["retry"],
        ["show"],
        ["plan", "--policy", "fifo"],
        ["simulate", "--compare", "--policy", "fifo"],
        ["simulate", "--workload", "no-such-workload"],
        ["migrate", "sideways"],
        ["tasks", "--limit", "0"],
        ["tasks", "--since", "soon"],
    ],
)
def test_wrong_usage_is_code_2_and_one_line(
    typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(typed)

    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1


def test_the_help_imports_neither_database_nor_broker() -> None:
    program = (
        "import sys; from console.cli.main import main; main(['--help']); "
        "print([m for m in ('peewee', 'dramatiq', 'redis', 'rich') if m in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete"), ("zsh", "#compdef kos"), ("fish", "complete")]
)
def test_each_shell_gets_its_completion(
    shell: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    assert word in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("kos ta", "tasks"),
        ("kos queues pu", "purge"),
        ("kos tasks --status f", "failed"),
        ("kos pause m", "mlx"),
        ("kos queues show llm-o", "llm-ollama"),
    ],
)
def test_the_completion_knows_commands_words_and_backends(words: str, found: str) -> None:
    environ = {
        **os.environ,
        "_KOS_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }

    done = subprocess.run(
        [sys.executable, "-c", "from console.cli.main import main; main()"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert found in [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_an_ascii_terminal_gets_escapes_not_an_error() -> None:
    program = (
        "from console.cli import main, output; main._tolerate_old_terminals(); "
        "output.say('задачи ✓')"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.startswith("\\u0437")
    assert done.stderr == ""
