"""Requests a plan by a notification to the listener, which wakes the control queue."""

from __future__ import annotations

from models import server


def request_plan(reason: str) -> None:
    """Through Postgres, like every inserted row: it reaches the planner without Redis too."""
    server.notify(server.TASKS_CHANNEL, reason)
