"""Selects the tasks of a list, an export or a bulk change: one value for all of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.base import fetch_one

_CLAUSES = {
    "ids": "t.id = ANY(%(ids)s::uuid[])",
    "statuses": "t.status = ANY(%(statuses)s)",
    "backend": "t.backend = %(backend)s",
    "model": "left(t.model, 100) = left(%(model)s, 100) AND t.model = %(model)s",
    "expert": (
        "t.assignee_expert_id IN (SELECT id FROM experts WHERE lower(name) = lower(%(expert)s))"
    ),
    "category": "t.category = %(category)s",
    "tag": "t.metadata -> 'tags' ? %(tag)s",
    "project": (
        "left(t.metadata ->> 'project', 100) = left(%(project)s, 100) "
        "AND t.metadata ->> 'project' = %(project)s"
    ),
    "error": "t.last_error ILIKE %(error)s",
    "priority": "coalesce(t.priority, 'medium') = %(priority)s",
    # "IS TRUE": looked up for each task from the newest on, not joined with all.
    "code": (
        "(t.id IN (SELECT a.task_id FROM kos_attempts a WHERE coalesce(a.error_code, a.outcome) = "
        "%(code)s AND a.finished_at > now() - interval '1 day')) IS TRUE"
    ),
    "batch": "t.id IN (SELECT l.task_id FROM kos_batch_lines l WHERE l.batch_id = %(batch)s)",
    "since": "t.created_at >= %(since)s",
}
_ID = re.compile(r"[0-9a-f-]{6,36}", re.IGNORECASE)
_WORDS = "kos_task_words(t.title::text, t.description::text, t.result::text)"
_QUERY = "to_tsquery('pg_catalog.russian', %(terms)s)"
LITERAL_AMONG = 1_000
_AMONG_NEWEST = (
    "t.id = ANY(ARRAY(SELECT id FROM tasks ORDER BY created_at DESC, id DESC "
    f"LIMIT {LITERAL_AMONG}))"
)
_LITERAL = (
    "(t.title ILIKE %(written)s OR t.description ILIKE %(written)s OR t.result ILIKE %(written)s)"
)


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Fields that are None or empty do not filter.

    ``error`` is a part of the last error; ``code`` is that of an attempt of the last day, or its
    outcome where it has none. ``search`` finds tasks whose title, description or answer contains
    all its words (or words that begin with them), and the task with this id, beginning of an id, or
    custom_id. A search without any word that the index keeps, such as "the", looks for its text in
    the newest `LITERAL_AMONG` tasks alone.
    """

    ids: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    backend: str | None = None
    model: str | None = None
    expert: str | None = None
    category: str | None = None
    tag: str | None = None
    project: str | None = None
    priority: str | None = None
    error: str | None = None
    code: str | None = None
    batch: str | None = None
    search: str | None = None
    since: datetime | None = None

    @property
    def only_by_status(self) -> bool:
        return self == TaskFilter(statuses=self.statuses)

    @property
    def is_empty(self) -> bool:
        return self == TaskFilter()

    def where(self) -> tuple[str, dict[str, Any]]:
        """The WHERE clause over ``tasks t``, and its parameters."""
        values = {name: getattr(self, name) for name in _CLAUSES if getattr(self, name)}
        clauses = [_CLAUSES[name] for name in values]
        parameters = {name: _parameter(name, value) for name, value in values.items()}
        if self.search:
            clause, found = _search(self.search)
            clauses.append(clause)
            parameters |= found
        return f"WHERE {' AND '.join(clauses)}" if clauses else "", parameters


def has_words(text: str) -> bool:
    """Whether the index keeps a word of this search."""
    row = fetch_one(f"SELECT numnode({_QUERY}) > 0 AS kept", {"terms": _terms(text)})
    return bool(row and row["kept"])


def _parameter(name: str, value: Any) -> Any:
    if name == "error":  # The pattern of ILIKE that finds the text literally.
        return "%" + re.sub(r"([\\%_])", r"\\\1", value) + "%"
    return list(value) if isinstance(value, tuple) else value


def _search(text: str) -> tuple[str, dict[str, Any]]:
    """Each condition has an index, so that a search over many tasks stays cheap.

    A text with characters other than letters and digits must also occur literally. Postgres knows
    while it plans whether the index keeps a word, and leaves out the other condition.
    """
    text = text.strip()
    written = re.sub(r"([\\%_])", r"\\\1", text)
    terms = _terms(text)
    is_plain = all(part.isalnum() for part in text.split())
    parameters = {"key": text, "terms": terms, "written": f"%{written}%"}
    conditions = [
        f"(numnode({_QUERY}) > 0 AND {_WORDS} @@ {_QUERY}"
        + ("" if is_plain else f" AND {_LITERAL}")
        + ")",
        f"(numnode({_QUERY}) = 0 AND {_AMONG_NEWEST} AND {_LITERAL})",
        "t.idempotency_key = %(key)s",
    ]
    digits = text.replace("-", "").lower()
    if _ID.fullmatch(text) and 6 <= len(digits) <= 32:
        conditions.append("t.id BETWEEN %(low)s::uuid AND %(high)s::uuid")
        parameters |= {"low": digits.ljust(32, "0"), "high": digits.ljust(32, "f")}
    return f"({' OR '.join(conditions)})", parameters


def _terms(text: str) -> str:
    return " & ".join(f"'{part}':*" for part in _quoted(text).split())


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "''")
