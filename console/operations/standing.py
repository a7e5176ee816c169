"""How every backend stands in Redis: open or not, its limit, and who holds its slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import redis

from jobs.admission.backend_state import BackendState, BackendStates
from jobs.admission.breakers import Breakers
from jobs.admission.consumers import Consumers
from jobs.admission.limits import Limit, Limits
from jobs.admission.residency import Residency
from jobs.admission.slots import BackendSlots, Slots
from jobs.settings.load import Settings
from llm.types import Scan


@dataclass(frozen=True, slots=True)
class Standing:
    """By backend, in the order of the settings; ``total`` is the limit over all of them."""

    states: Mapping[str, BackendState]
    slots: Mapping[str, BackendSlots]
    total: Limit

    @property
    def paused(self) -> list[str]:
        return [name for name, state in self.states.items() if state.paused]


class Standings:
    """Reads Redis in a few round trips; asks no server."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._names = [spec.name for spec in settings.backends]
        self.limits = Limits(client, settings)
        self.breakers = Breakers(client)
        self._states = BackendStates(
            self.breakers, self.limits, Residency(client), Consumers(client)
        )
        self._slots = Slots(client, lease_seconds=settings.lease_seconds)

    def look(self, last_scan: Scan | None = None) -> Standing:
        """Raises RedisError."""
        # The caller keeps the whole longer than these keep what they read: a change must be in it.
        self._states.read_again()
        held = self._slots.inspect(*self._names) if self._names else []
        return Standing(
            states={
                name: self._states.of(name, last_scan.server(name) if last_scan else None)
                for name in self._names
            },
            slots={state.backend: state for state in held},
            total=self.limits.total,
        )
