"""The answers of tasks that came in as requests, read together for all waiting callers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from models.base import fetch_all


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """``result`` is None until the task is completed; tokens are those of its last attempt."""

    task_id: str
    status: str
    result: str | None
    last_error: str | None
    created_at: datetime
    backend: str | None
    model: str | None
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None


# Only tasks that came in through the gateway: its callers must not see others.
_ANSWERS = """
SELECT t.id::text AS task_id, t.status, t.result, t.last_error, t.created_at, a.backend, a.model,
  a.finish_reason, a.prompt_tokens, a.completion_tokens
FROM tasks t LEFT JOIN LATERAL (
  SELECT backend, model, finish_reason, prompt_tokens, completion_tokens FROM kos_attempts
  WHERE task_id = t.id ORDER BY number DESC LIMIT 1) a ON true
WHERE t.id = ANY(%s::uuid[]) AND t.metadata ->> 'gateway_caller' IS NOT NULL
"""


def read(task_ids: Sequence[str]) -> dict[str, ChatAnswer]:
    """The tasks that exist and came in through the gateway, by id."""
    rows = fetch_all(_ANSWERS, (list(task_ids),))
    return {row["task_id"]: ChatAnswer(**row) for row in rows}
