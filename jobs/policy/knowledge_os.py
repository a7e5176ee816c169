"""What the programs of Knowledge OS read of a task, where they run beside us (``KOS_COMPAT``).

Its orchestrator, metrics and dashboards read keys of ``metadata``, and its search reads answers in
``knowledge_nodes``. The words and numbers here are theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jobs.policy.outcome import Complete, Fail, Outcome


class Compat(StrEnum):
    """The other system whose programs read what we write."""

    OFF = "off"
    KNOWLEDGE_OS = "knowledge_os"


class Exhausted(StrEnum):
    """What becomes of a task after its last attempt."""

    FAILED = "failed"
    COMPLETED_WITH_NOTE = "completed_with_note"


Marks = Mapping[str, Any]
"""Keys of ``tasks.metadata`` to write; a key whose value is None is taken away."""

ERROR_CHARS = 500
NODE_CHARS = 400
DEFERRED: Marks = {
    "deferred_to_human": True,
    "board_escalated": True,
    "execution_mode": "minimal_response",
    "next_retry_after": None,
}
"""A person should look: their dashboards filter by the first of these."""


@dataclass(frozen=True, slots=True)
class KnowledgeNode:
    """What an expert found earlier: a row of ``knowledge_nodes``."""

    id: str
    content: str
    source_ref: str | None
    confidence_score: float | None
    is_verified: bool


def marks(outcome: Outcome, *, attempts: int, model: str | None, score: float | None) -> Marks:
    """What an attempt leaves in the metadata. ``attempts`` were spent before it."""
    used = {"used_model": model, "validation_score": score}
    if isinstance(outcome, Complete):
        return {
            **used, "attempt_count": attempts, "last_attempt_failed": False,
            "next_retry_after": None,
        }  # fmt: skip
    failed = {"last_error": outcome.reason[:ERROR_CHARS]}
    if isinstance(outcome, Fail):
        spent = {"attempt_count": attempts + 1, "last_attempt_failed": True}
        return {**used, **failed, **spent, **DEFERRED}
    return {
        **used,
        **failed,
        "attempt_count": attempts + int(outcome.spends_attempt),
        "last_attempt_failed": outcome.spends_attempt,
        "next_retry_after": outcome.at.isoformat(),
    }


def note_of(failure: Fail, *, attempts: int) -> str:
    """The result of a task that is completed without an answer, because its owner wants that."""
    return (
        f"Нужна ручная проверка (a person should look): нет ответа после {attempts} попыток.\n"
        f"{failure.reason}"
    )


def node_content(expert: str | None, title: str, answer: str) -> str:
    """An answer in the form that their search and leaderboards read."""
    return f"📊 REPORT BY {expert or 'Knowledge OS Jobs'}: {title}\n\n{answer}"


def knowledge_text(nodes: Sequence[KnowledgeNode]) -> str:
    """The nodes for a prompt, each cut to its beginning; empty without any."""
    return "\n\n".join(f"- {node.content.strip()[:NODE_CHARS]}" for node in nodes)


def sources(nodes: Sequence[KnowledgeNode]) -> str:
    """Where the knowledge of a prompt comes from, for the task's decisions."""
    return "knowledge of its domain in the prompt: " + "; ".join(map(_source, nodes))


def _source(node: KnowledgeNode) -> str:
    trust = "verified" if node.is_verified else f"confidence {node.confidence_score or 0:.2f}"
    return f"{node.source_ref or 'no source'} ({node.id[:8]}, {trust})"
