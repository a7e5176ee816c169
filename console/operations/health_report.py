"""The checks of the health checker's last round, as it left them in Redis."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis

from jobs.queues.names import HEALTH


@dataclass(frozen=True, slots=True)
class ReportedCheck:
    """One check: ``detail`` is what was found, ``at`` when, ``since`` how long it has been red.

    Of a check that this process makes itself, ``at`` and ``since`` are None.
    """

    name: str
    ok: bool
    detail: str | None = None
    remedy: str | None = None
    at: datetime | None = None
    since: datetime | None = None


def last_round(client: redis.Redis) -> list[ReportedCheck]:
    """Every check of the last round. Empty where the health checker does not run: a round is kept
    for a few intervals only."""
    text: Any = client.get(HEALTH)
    if text is None:
        return []
    try:
        report = json.loads(text)
        at = datetime.fromtimestamp(report["at"], tz=UTC)
        return [_check(check, at) for check in report["checks"]]
    except (ValueError, KeyError, TypeError) as error:
        return [ReportedCheck("health checker", False, f"its report cannot be read ({error!r})")]


def merged(own: Sequence[ReportedCheck], reported: Sequence[ReportedCheck]) -> list[ReportedCheck]:
    """``own`` checks, each replaced by a red one that the health checker ``reported`` under the
    same name, for it also writes; then the other reported ones."""
    red = {check.name: check for check in reported if not check.ok}
    known = {check.name for check in own}
    return [red.get(check.name, check) if check.ok else check for check in own] + [
        check for check in reported if check.name not in known
    ]


def _check(check: dict[str, Any], at: datetime) -> ReportedCheck:
    since = check.get("since")
    return ReportedCheck(
        name=check["name"],
        ok=bool(check["ok"]),
        detail=check.get("detail"),
        remedy=check.get("remedy") or None,
        at=at,
        since=datetime.fromtimestamp(since, tz=UTC) if since else None,
    )
