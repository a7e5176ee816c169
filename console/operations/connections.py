"""What a command talks to: imported and opened when it is first needed, for quick commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from console.operations.errors import InvalidInput, ServiceUnreachable
from jobs.process import tracing
from models import database

if TYPE_CHECKING:
    import redis

    from console.operations.standing import Standings
    from jobs.admission.slots import Slots
    from jobs.settings.load import Settings

COMMAND_POOL = 4


@dataclass(slots=True)
class Connections:
    """Settings, and the services that they name."""

    settings: Settings
    _redis: redis.Redis | None = field(default=None, repr=False)
    _slots: Slots | None = field(default=None, repr=False)
    _standings: Standings | None = field(default=None, repr=False)

    def use_database(self) -> None:
        """Point the row classes at Postgres; opens nothing yet.

        Raises:
            ServiceUnreachable: no database is known.
            InvalidInput: DATABASE_URL is not a Postgres URL.
        """
        if not self.settings.database_url:
            raise ServiceUnreachable("no database is running: run `kos up`, or set DATABASE_URL")
        try:
            database.configure(
                self.settings.database_url, pool_size=COMMAND_POOL, application_name="kos-cli"
            )
        except ValueError as error:
            raise InvalidInput(str(error)) from error
        tracing.configure(self.settings.otel_endpoint, program="kos")

    @property
    def redis(self) -> redis.Redis:
        if self._redis is None:
            from jobs.queues.clients import client_for

            if not self.settings.redis_url:
                raise ServiceUnreachable("no Redis is running: run `kos up`, or set REDIS_URL")
            self._redis = client_for(self.settings.redis_url, decode_responses=True)
        return self._redis

    @property
    def slots(self) -> Slots:
        if self._slots is None:
            from jobs.admission.slots import Slots

            self._slots = Slots(self.redis, lease_seconds=self.settings.lease_seconds)
        return self._slots

    @property
    def standings(self) -> Standings:
        if self._standings is None:
            from console.operations.standing import Standings

            self._standings = Standings(self.settings, self.redis)
        return self._standings

    def close(self) -> None:
        database.close_all()
        if self._redis is not None:
            self._redis.close()
