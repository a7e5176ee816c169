"""What the programs of Knowledge OS read of a task."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from jobs.policy import knowledge_os
from jobs.policy.knowledge_os import KnowledgeNode
from jobs.policy.outcome import Complete, Fail, Outcome, Retry

AT = datetime(2026, 11, 29, 12, 30, tzinfo=UTC)
DEFERRED = {
    "deferred_to_human": True, "board_escalated": True, "execution_mode": "minimal_response",
    "next_retry_after": None,
}  # fmt: skip
NODE = KnowledgeNode("0123456789", "Indexes speed reads.", "autonomous_worker", 0.85, False)


@pytest.mark.parametrize(
    ("outcome", "written"),
    [
        (Complete(0.9),
         {"attempt_count": 2, "last_attempt_failed": False, "next_retry_after": None}),
        (Retry(at=AT, reason="blank", code="blank"),
         {"attempt_count": 3, "last_attempt_failed": True, "last_error": "blank",
          "next_retry_after": "2026-11-29T12:30:00+00:00"}),
        (Retry(at=AT, reason="busy", code="overloaded", spends_attempt=False),
         {"attempt_count": 2, "last_attempt_failed": False, "last_error": "busy",
          "next_retry_after": "2026-11-29T12:30:00+00:00"}),
        (Fail(reason="x" * 900, code="blank"),
         {"attempt_count": 3, "last_attempt_failed": True, "last_error": "x" * 500, **DEFERRED}),
    ],
)  # fmt: skip
def test_an_attempt_leaves_what_their_programs_read(
    outcome: Outcome, written: dict[str, Any]
) -> None:
    marks = knowledge_os.marks(outcome, attempts=2, model="phi3", score=0.5)

    assert marks == {"used_model": "phi3", "validation_score": 0.5, **written}


def test_a_note_asks_for_a_person_and_says_why() -> None:
    note = knowledge_os.note_of(Fail(reason="blank answers", code="blank"), attempts=5)

    assert "Нужна ручная проверка" in note
    assert "5" in note
    assert note.endswith("blank answers")


def test_an_answer_has_the_form_that_their_search_reads() -> None:
    content = knowledge_os.node_content("Анна", "Индексы", "Они ускоряют чтение.")

    assert content == "📊 REPORT BY Анна: Индексы\n\nОни ускоряют чтение."


def test_knowledge_is_cut_for_the_prompt_and_its_sources_are_named() -> None:
    long = KnowledgeNode("abcdefghij", "y" * 900, None, None, True)

    assert knowledge_os.knowledge_text(()) == ""
    assert knowledge_os.knowledge_text((NODE, long)) == f"- {NODE.content}\n\n- {'y' * 400}"
    assert knowledge_os.sources((NODE, long)).endswith(
        "autonomous_worker (01234567, confidence 0.85); no source (abcdefgh, verified)"
    )
