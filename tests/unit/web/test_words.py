"""Every sentence of the pages is known in Russian, and says the same values."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import console.words as words
from console.cli import output
from console.cli.commands import COMMANDS, SECTIONS
from console.cli.framework import Command
from console.cli.main import cli
from console.cli.output import language_of
from console.operations.problems import CHECKER_SILENT, NOTHING_RUNS, ROLES, WORKER_ROLE
from console.operations.remedies import OTHERWISE, REMEDIES
from console.operations.slowness import SENTENCES as CAUSES
from console.operations.verdict import SENTENCES
from console.web.pages.chat import GROUPS
from console.web.pages.plumbing import NAVIGATION, NOTICES
from console.words import COUNTED, LANGUAGES, in_words, preferred, spoken_span, words_for
from jobs.attempt.preparation import TaskRefused
from jobs.policy.webhooks import EVENTS
from jobs.queues import cron
from jobs.settings.load import PROJECT
from jobs.upkeep.health.checks import RESTARTED
from llm import errors
from llm.breaker import BreakerPhase
from llm.types import Phase
from models.states import AttemptOutcome, Priority, TaskState

CONSOLE = Path(words.__file__).parent
WEB = CONSOLE / "web"
CALLED = re.compile(r"""\bt\(\s*(?:"([^"\\]+)"|'([^'\\]+)')\s*[,)]""")
LEFT_OUT = re.compile(r'in_time\(\s*request, "([^"]+)"')
FIELD = re.compile(r"{(\w+)}")
LATIN = re.compile(r"[A-Za-z]{3,}")
NAMED = re.compile(r"\bmlx\b|[A-Z_-]{3,}|UTF-8")
"""Names that stay: of servers, settings and formats."""


def _help_of(command: click.Command) -> Iterator[str]:
    assert isinstance(command, Command), command.name
    yield from command.sentences()
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _help_of(found)


def _reasons() -> Iterator[str]:
    """The sentences of the errors of a call, each field of them filled with a number."""
    names = {
        name for name, kind in vars(errors).items() if isinstance(kind, type)
    } | {TaskRefused.__name__}  # fmt: skip
    for wing in (PROJECT / "llm", PROJECT / "jobs" / "attempt"):
        for path in wing.rglob("*.py"):
            if path.is_relative_to(PROJECT / "llm" / "simulator"):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call) or not node.args:
                    continue
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                first = node.args[0]
                parts = first.values if isinstance(first, ast.JoinedStr) else [first]
                texts = [one.value if isinstance(one, ast.Constant) else 7 for one in parts]
                if called in names and texts != [7]:
                    yield re.sub(r"(?<=[a-z])7", "", "".join(map(str, texts)))


def _said() -> set[str]:
    found = (
        set(_help_of(cli))
        | {"Usage:", "Options", "Commands", "Examples", "default: ", "required"}
        | set(NOTICES.values())
        | set(SENTENCES)
        | set(CAUSES)
        | set(SECTIONS)
        | {entry.help for entry in COMMANDS.values()}
        | set(GROUPS)
        | {NOTHING_RUNS, CHECKER_SILENT, OTHERWISE, WORKER_ROLE, RESTARTED}
        | {*ROLES.values(), *COUNTED.values()}
        | set(REMEDIES.values())
        | set(EVENTS.values())
        | {name for _, name, _ in NAVIGATION}
    )
    for path in (WEB / "templates").rglob("*.html"):
        for one, other in CALLED.findall(path.read_text(encoding="utf-8")):
            found.add(one or other)
    for path in (WEB / "pages").glob("*.py"):
        found |= set(LEFT_OUT.findall(path.read_text(encoding="utf-8")))
    for kind in (TaskState, Priority, AttemptOutcome, Phase, BreakerPhase):
        found |= {one.value for one in kind}
    return found | {line.purpose for line in cron.TABLE}


def test_every_sentence_is_translated() -> None:
    known = json.loads((CONSOLE / "languages" / "ru.json").read_text(encoding="utf-8"))

    assert _said() - set(known) == set()


def test_every_reason_of_a_call_is_translated_with_its_backend_behind_it() -> None:
    reasons = sorted(set(_reasons()))
    russian = words_for("ru")

    assert len(reasons) > 60
    placed = [russian(f"{one} (backend mlx)") for one in reasons if LATIN.search(one)]
    assert [one for one in placed if LATIN.search(NAMED.sub("", one))] == []
    assert all(one.endswith(" (сервер mlx)") for one in placed)


def test_the_help_of_a_command_is_in_the_language_of_its_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(output, "words", lambda: words_for("ru"))

    shown = CliRunner().invoke(cli, ["schedules", "--help"]).output

    assert "Показать расписания" in shown
    assert shown.startswith("Использование: ")


def test_translations_fill_in_the_same_values() -> None:
    known = json.loads((CONSOLE / "languages" / "ru.json").read_text(encoding="utf-8"))

    for sentence, translated in known.items():
        assert set(FIELD.findall(sentence)) == set(FIELD.findall(translated)), sentence


def test_the_language_is_chosen_by_hand_or_by_the_browser() -> None:
    assert preferred("ru", "en") == "ru"
    assert preferred(None, "de, ru-RU;q=0.8, en") == "ru"
    assert preferred("xx", "") == "en"
    assert LANGUAGES == ("en", "ru")


def test_times_are_spoken() -> None:
    russian = words_for("ru")

    assert spoken_span(125, russian) == "2 мин 5 с" or spoken_span(125, russian) == "2 мин"
    assert in_words("3 min ago", russian) == "3 мин назад"
    assert in_words("in 2 h", russian) == "через 2 ч"
    assert in_words("about 4-6 min", russian) == "примерно 4-6 мин"
    assert in_words("3 min ago", words_for("en")) == "3 min ago"


def test_a_reason_of_the_planner_is_told_part_by_part_and_names_stay() -> None:
    russian = words_for("ru")

    assert russian("14 tasks, block 1: its model runs now, nothing has to be loaded") == (
        "задач: 14, блок 1: его модель работает сейчас, загружать ничего не нужно"
    )
    reason = (
        "Anna (Backend) fits best by sql and has 2 open tasks; mlx suits the department Backend"
    )
    assert russian(reason) == (
        "Anna (Backend) подходит лучше всего (sql), открытых задач: 2; mlx подходит отделу Backend"
    )
    assert (
        russian("load 1.2 s, first token after 0.4 s") == "загрузка 1.2 с, первый токен через 0.4 с"
    )


def test_what_no_pattern_knows_stays_as_it_is() -> None:
    text = "KeyError: 'x' is not there; nothing of ours"

    assert words_for("ru")(text) == text
    assert words_for("en")("14 tasks, block 1: whatever") == "14 tasks, block 1: whatever"


def test_the_command_line_speaks_the_language_of_its_terminal() -> None:
    assert language_of({"LANG": "ru_RU.UTF-8"}) == "ru"
    assert language_of({"LANG": "ru_RU.UTF-8", "KOS_LANG": "en"}) == "en"
    assert language_of({"LANG": "C.UTF-8"}) == language_of({}) == "en"
