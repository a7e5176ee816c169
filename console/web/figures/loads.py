"""Model loads of the last day, beside how many there had to be at least."""

from __future__ import annotations

from models.base import Row, fetch_all

_OF_DAY = """
SELECT backend, count(*) AS actual, count(DISTINCT (model, num_ctx)) AS bound,
  coalesce(sum(seconds), 0) AS seconds
FROM kos_loads WHERE at > now() - interval '1 day' GROUP BY 1
"""


def reloads() -> dict[str, Row]:
    """``{"actual", "bound", "seconds"}`` by backend. Needs a session.

    The bound is one load for each model and context size that was loaded at all: what was needed
    once could not have been loaded less often than once.
    """
    return {found.pop("backend"): found for found in fetch_all(_OF_DAY)}
