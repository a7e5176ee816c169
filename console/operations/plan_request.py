"""Tells the listener that there is something to plan; it wakes the control queue."""

from __future__ import annotations

from models.base import fetch_all

CHANNEL = "kos_tasks"


def wake_planner(reason: str) -> None:
    """Through Postgres, like every inserted row: it reaches the planner without Redis too."""
    fetch_all("SELECT pg_notify(%s, %s)", (CHANNEL, reason))
