"""Model loads of the last day, beside how many there had to be at least."""

from __future__ import annotations

from models.base import Row, fetch_all, fetch_one

_KNOWN = "SELECT to_regclass('loads') IS NOT NULL AS known"
_FROM_LEDGER = """
SELECT backend, count(*) AS actual, count(DISTINCT (model, num_ctx)) AS bound,
  coalesce(sum(seconds), 0) AS seconds
FROM loads WHERE at > now() - interval '1 day' GROUP BY 1
"""
_FROM_ATTEMPTS = """
SELECT backend, count(*) AS actual, count(DISTINCT model) AS bound,
  coalesce(sum(load_seconds), 0) AS seconds
FROM attempts
WHERE finished_at > now() - interval '1 hour' AND load_seconds > 0.05 AND backend IS NOT NULL
GROUP BY 1
"""


def reloads() -> dict[str, Row]:
    """``{"actual", "bound", "seconds"}`` by backend. Needs a session.

    The bound is one load for each model and context size that was loaded at all: what was needed
    once could not have been loaded less often than once.
    """
    row = fetch_one(_KNOWN)
    sql = _FROM_LEDGER if row and row["known"] else _FROM_ATTEMPTS
    return {found.pop("backend"): found for found in fetch_all(sql)}
