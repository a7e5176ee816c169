"""Every sentence of the pages is known in Russian, and says the same values."""

from __future__ import annotations

import json
import re
from pathlib import Path

import console.web.words as words
from console.operations.remedies import OTHERWISE, REMEDIES
from console.operations.verdict import CHECKER_SILENT, NOTHING_RUNS, SENTENCES
from console.web.pages.chat import GROUPS
from console.web.pages.plumbing import NAVIGATION, NOTICES
from console.web.words import LANGUAGES, in_words, preferred, spoken_span, words_for
from jobs.policy.webhooks import EVENTS
from jobs.queues import schedule
from llm.breaker import BreakerPhase
from llm.types import Phase
from models.states import AttemptOutcome, Priority, TaskState

WEB = Path(words.__file__).parent
CALLED = re.compile(r"""\bt\(\s*(?:"([^"\\]+)"|'([^'\\]+)')\s*[,)]""")
FIELD = re.compile(r"{(\w+)}")


def _said() -> set[str]:
    found = (
        set(NOTICES.values())
        | set(SENTENCES)
        | set(GROUPS)
        | {NOTHING_RUNS, CHECKER_SILENT, OTHERWISE}
        | set(REMEDIES.values())
        | set(EVENTS.values())
        | {name for _, name, _ in NAVIGATION}
    )
    for path in (WEB / "templates").rglob("*.html"):
        for one, other in CALLED.findall(path.read_text(encoding="utf-8")):
            found.add(one or other)
    for kind in (TaskState, Priority, AttemptOutcome, Phase, BreakerPhase):
        found |= {one.value for one in kind}
    return found | {line.purpose for line in schedule.TABLE}


def test_every_sentence_is_translated() -> None:
    known = json.loads((WEB / "languages" / "ru.json").read_text(encoding="utf-8"))

    assert _said() - set(known) == set()


def test_translations_fill_in_the_same_values() -> None:
    known = json.loads((WEB / "languages" / "ru.json").read_text(encoding="utf-8"))

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
    assert in_words("3 min ago", words_for("en")) == "3 min ago"
