"""Every sentence of the pages is known in Russian, and says the same values."""

from __future__ import annotations

import json
import re
from pathlib import Path

import console.words as words
from console.cli.commands import COMMANDS, SECTIONS
from console.cli.output import language_of
from console.operations.remedies import OTHERWISE, REMEDIES
from console.operations.slowness import SENTENCES as CAUSES
from console.operations.verdict import CHECKER_SILENT, NOTHING_RUNS, SENTENCES
from console.web.pages.chat import GROUPS
from console.web.pages.plumbing import NAVIGATION, NOTICES
from console.words import LANGUAGES, in_words, preferred, spoken_span, words_for
from jobs.policy.webhooks import EVENTS
from jobs.queues import cron
from llm.breaker import BreakerPhase
from llm.types import Phase
from models.states import AttemptOutcome, Priority, TaskState

CONSOLE = Path(words.__file__).parent
WEB = CONSOLE / "web"
CALLED = re.compile(r"""\bt\(\s*(?:"([^"\\]+)"|'([^'\\]+)')\s*[,)]""")
LEFT_OUT = re.compile(r'in_time\(\s*request, "([^"]+)"')
FIELD = re.compile(r"{(\w+)}")


def _said() -> set[str]:
    found = (
        set(NOTICES.values())
        | set(SENTENCES)
        | set(CAUSES)
        | set(SECTIONS)
        | {entry.help for entry in COMMANDS.values()}
        | set(GROUPS)
        | {NOTHING_RUNS, CHECKER_SILENT, OTHERWISE}
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
