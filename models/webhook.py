"""Rows of webhooks and of their deliveries.

A delivery changes only while it is pending, and only by the process that claimed it last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg2.extras import Json

from models.base import fetch_all, fetch_one, value_of

ADDRESS, SETTING, COMMAND = "address", "setting", "command"


@dataclass(frozen=True, slots=True)
class Webhook:
    """``kind``: ``address`` (url and secret in the row), ``setting`` (both in the settings) or
    ``command`` (a command in the settings).

    ``failures`` counts consecutive sends without an answer.
    """

    id: str
    name: str
    kind: str
    url: str | None
    secret: str | None
    events: Sequence[str]
    failures: int


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """One claimed delivery; ``attempts`` counts this one."""

    id: str
    event: str
    data: Mapping[str, Any]
    attempts: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ListedWebhook:
    """A webhook as people see it: how many deliveries are ``pending``, and the newest (``last_``).
    ``url`` is None where the settings hold it."""

    name: str
    kind: str
    url: str | None
    events: Sequence[str]
    created_at: datetime
    pending: int
    last_event: str | None
    last_state: str | None
    last_problem: str | None
    last_at: datetime | None
    last_attempts: int | None


@dataclass(frozen=True, slots=True)
class ListedDelivery:
    """A delivery as people see it; ``state`` is pending, delivered or failed."""

    id: str
    event: str
    data: Mapping[str, Any]
    state: str
    attempts: int
    problem: str | None
    created_at: datetime
    next_attempt_at: datetime | None
    ended_at: datetime | None


WEBHOOK_FIELDS = "id::text, name, kind, url, secret, events, failures"

LIST = """
SELECT w.name, w.kind, w.url, w.events, w.created_at,
  (SELECT count(*) FROM kos_webhook_deliveries d WHERE d.webhook_id = w.id
    AND d.state = 'pending') AS pending,
  last.event AS last_event, last.state AS last_state, last.problem AS last_problem,
  last.created_at AS last_at, last.attempts AS last_attempts
FROM kos_webhooks w LEFT JOIN LATERAL (SELECT * FROM kos_webhook_deliveries d
  WHERE d.webhook_id = w.id ORDER BY d.created_at DESC LIMIT 1) last ON true
ORDER BY w.name
"""

DUE = f"""
SELECT {WEBHOOK_FIELDS} FROM kos_webhooks w WHERE coalesce(held_until, now()) <= now()
  AND EXISTS (SELECT 1 FROM kos_webhook_deliveries d
    WHERE d.webhook_id = w.id AND d.state = 'pending' AND d.next_attempt_at <= now())
ORDER BY name
"""

CLAIM = """
WITH claimed AS (
  UPDATE kos_webhook_deliveries d SET attempts = d.attempts + 1,
    next_attempt_at = now() + %(lease)s * interval '1 second'
  FROM (SELECT id FROM kos_webhook_deliveries WHERE webhook_id = %(webhook)s
    AND state = 'pending' AND next_attempt_at <= now()
    ORDER BY next_attempt_at, created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED) due
  WHERE d.id = due.id RETURNING d.*
)
SELECT id::text, event, data, attempts, created_at FROM claimed ORDER BY created_at, id
"""

ENDED = """
UPDATE kos_webhook_deliveries SET state = 'delivered', problem = NULL, ended_at = now()
WHERE id = %s AND attempts = %s AND state = 'pending'
"""

LATER = """
UPDATE kos_webhook_deliveries SET problem = %s, next_attempt_at = %s
WHERE id = %s AND attempts = %s AND state = 'pending'
"""

GIVE_BACK = """
UPDATE kos_webhook_deliveries SET attempts = attempts - 1, next_attempt_at = now()
WHERE id = ANY(%s::uuid[]) AND state = 'pending'
"""

GIVE_UP = """
UPDATE kos_webhook_deliveries SET state = 'failed', ended_at = now(),
  problem = coalesce(problem, 'the deliveries before it could not be made')
WHERE state = 'pending' AND created_at < %s
RETURNING id
"""

# One event per standstill, however often it is seen.
STUCK = """
INSERT INTO kos_webhook_deliveries (webhook_id, event, data)
SELECT w.id, 'backlog.stuck', %(data)s FROM kos_webhooks w
WHERE 'backlog.stuck' = ANY(w.events) AND NOT EXISTS (
  SELECT 1 FROM kos_webhook_deliveries d WHERE d.webhook_id = w.id
    AND d.event = 'backlog.stuck' AND d.data ->> 'since' = %(since)s)
"""


def add(name: str, *, url: str, secret: str, events: Sequence[str]) -> bool:
    """Insert a webhook that a user defined; False where one of that name exists."""
    return _add(name, ADDRESS, url, secret, events)


def keep_setting(name: str, kind: str, events: Sequence[str] | None) -> None:
    """Keep the row of a webhook that the settings define; with None, delete it."""
    found = fetch_one("SELECT kind, events FROM kos_webhooks WHERE name = %s", (name,))
    if events is None:
        if found and found["kind"] == kind:
            remove(name)
    elif found is None:
        _add(name, kind, None, None, events)
    # Deliveries refer to the row, so a changed setting must not replace it.
    elif list(found["events"]) != list(events):
        fetch_all("UPDATE kos_webhooks SET events = %s WHERE name = %s", (list(events), name))


def remove(name: str) -> bool:
    """The webhook and its deliveries."""
    return bool(fetch_all("DELETE FROM kos_webhooks WHERE name = %s RETURNING id", (name,)))


def named(name: str) -> Webhook | None:
    row = fetch_one(f"SELECT {WEBHOOK_FIELDS} FROM kos_webhooks WHERE name = %s", (name,))
    return value_of(Webhook, row) if row else None


def listed() -> list[ListedWebhook]:
    """Every webhook, by name."""
    return [value_of(ListedWebhook, row) for row in fetch_all(LIST)]


def deliveries(name: str, *, limit: int) -> list[ListedDelivery]:
    """Newest first."""
    rows = fetch_all(
        "SELECT d.id::text, d.event, d.data, d.state, d.attempts, d.problem, d.created_at, "
        "d.next_attempt_at, d.ended_at FROM kos_webhook_deliveries d JOIN kos_webhooks w "
        "ON w.id = d.webhook_id WHERE w.name = %s ORDER BY d.created_at DESC LIMIT %s",
        (name, limit),
    )
    return [value_of(ListedDelivery, row) for row in rows]


def with_due_deliveries() -> list[Webhook]:
    return [value_of(Webhook, row) for row in fetch_all(DUE)]


def claim(webhook_id: str, *, limit: int, lease_seconds: float) -> list[WebhookDelivery]:
    """Claim deliveries, oldest first. They are due again unless ended within the lease."""
    rows = fetch_all(CLAIM, {"webhook": webhook_id, "limit": limit, "lease": lease_seconds})
    return [value_of(WebhookDelivery, row) for row in rows]


def delivered(delivery: WebhookDelivery) -> None:
    fetch_all(ENDED, (delivery.id, delivery.attempts))


def retry(delivery: WebhookDelivery, problem: str, *, at: datetime) -> None:
    fetch_all(LATER, (problem, at, delivery.id, delivery.attempts))


def give_back(deliveries: Sequence[WebhookDelivery]) -> None:
    """Return deliveries that were claimed but not tried."""
    if deliveries:
        fetch_all(GIVE_BACK, ([one.id for one in deliveries],))


def hold(webhook_id: str, *, until: datetime) -> None:
    """Send nothing before ``until``: the receiver does not answer."""
    fetch_all(
        "UPDATE kos_webhooks SET failures = failures + 1, held_until = %s WHERE id = %s",
        (until, webhook_id),
    )


def answers(webhook_id: str) -> None:
    """Record that the receiver answers (again)."""
    fetch_all(
        "UPDATE kos_webhooks SET failures = 0, held_until = NULL WHERE id = %s AND failures > 0",
        (webhook_id,),
    )


def give_up(*, created_before: datetime) -> int:
    """Fail deliveries that have been pending for too long; returns how many."""
    return len(fetch_all(GIVE_UP, (created_before,)))


def backlog_is_stuck(*, since: str, problem: str) -> None:
    """Write the event of the standstill that began at ``since``, once."""
    data = {"since": since, "problem": problem}
    fetch_all(STUCK, {"data": Json(data), "since": since})


def prune(keep_days: float) -> int:
    rows = fetch_all(
        "WITH gone AS (DELETE FROM kos_webhook_deliveries WHERE state <> 'pending' "
        "AND created_at < now() - %s * interval '1 day' RETURNING 1) "
        "SELECT count(*) AS n FROM gone",
        (keep_days,),
    )
    return int(rows[0]["n"])


def _add(name: str, kind: str, url: str | None, secret: str | None, events: Sequence[str]) -> bool:
    rows = fetch_all(
        "INSERT INTO kos_webhooks (name, kind, url, secret, events) VALUES (%s, %s, %s, %s, %s) "
        "ON CONFLICT DO NOTHING RETURNING id",
        (name, kind, url, secret, list(events)),
    )
    return bool(rows)
