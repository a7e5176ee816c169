"""How long canaries may call an idle model.

Each call restarts the model's keep-alive, so endless canaries would keep an unused model in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from llm.types import ResidentModel

TRIED_SECONDS = 60.0
NEVER_EXPIRES = timedelta(days=365)
"""Servers write "forever" as a date centuries ahead."""


@dataclass(slots=True)
class IdleModels:
    """Remembers, by (backend, model), until when canaries may call it. One instance, one thread."""

    tried_until: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def to_try(
        self, backend: str, residents: Sequence[ResidentModel], now: datetime
    ) -> ResidentModel | None:
        """The first model that may be called: for a minute after it is first seen idle, at most
        until its users let it expire; without limit where it does not expire."""
        self._forget(backend, but={resident.name for resident in residents})
        tried = (resident for resident in residents if self._may_try(backend, resident, now))
        return next(tried, None)

    def in_use(self, backend: str) -> None:
        """Note that the backend works. Each of its models gets its minute of tries anew once the
        backend is idle again."""
        self._forget(backend, but=set())

    def _may_try(self, backend: str, resident: ResidentModel, now: datetime) -> bool:
        expires_at = resident.expires_at
        if expires_at is None or expires_at - now > NEVER_EXPIRES:
            return True
        until = min(expires_at, now + timedelta(seconds=TRIED_SECONDS))
        return now < self.tried_until.setdefault((backend, resident.name), until)

    def _forget(self, backend: str, *, but: set[str]) -> None:
        for key in list(self.tried_until):
            if key[0] == backend and key[1] not in but:
                del self.tried_until[key]
