"""The active experts with their loads, as assignments see them: read where they changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from jobs.policy.team import ExpertView, Team
from models import counts
from models.expert import Expert

logger = logging.getLogger(__name__)

READ_AGAIN_SECONDS = 60.0
"""A change that passed our triggers by is seen after this."""
MANY_EXPERTS = 500
LOADS_SECONDS = 10.0
"""The loads of many experts are read this often; what was assigned here meanwhile is known."""


class Roster:
    """Used by one thread at a time."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._team = Team((), loads={})
        self._revision = -1
        self._read_at = self._loads_at = float("-inf")

    def team(self) -> Team:
        """Empty where no expert is active. Needs a session.

        With thousands of experts a page reads one number, and all of them only where one changed.
        """
        now, revision = self._clock(), counts.revision_of_experts()
        if revision != self._revision or now - self._read_at > READ_AGAIN_SECONDS or not self._team:
            experts = Expert.roster() or _assistant()
            # A new roster has no loads, so they are read below whatever their age is.
            self._team = Team((expert_view(expert) for expert in experts), loads={})
            self._revision, self._read_at, self._loads_at = revision, now, float("-inf")
        if len(self._team) <= MANY_EXPERTS or now - self._loads_at > LOADS_SECONDS:
            self._team.start_from(Expert.open_tasks())
            self._loads_at = now
        return self._team


def expert_view(expert: Expert) -> ExpertView:
    """The row as the assignment policy sees it."""
    return ExpertView(
        id=str(expert.id),
        name=expert.name or str(expert.id),
        role=expert.role or "",
        department=expert.department or "",
        active=expert.is_active is not False,
    )


def _assistant() -> list[Expert]:
    """The built-in assistant, made now: a task must not wait for an expert that nobody has."""
    if Expert.add_assistant():
        logger.info("assistant_added: no expert was active")
    return Expert.roster()
