"""The services of one process, built once and handed out by name; nothing is global.

Only programs and the console read a :class:`Runtime`. What they build gets the services that it
uses as arguments.
"""

from __future__ import annotations

from dataclasses import dataclass

import redis

from jobs.admission.breakers import Breakers
from jobs.admission.consumers import Consumers
from jobs.admission.limits import Limits
from jobs.admission.rates import Rates
from jobs.admission.residency import Residency
from jobs.admission.slots import Slots
from jobs.planning.current_state import StateReader
from jobs.planning.learned_figures import LearnedFigures
from jobs.planning.snapshots import local_memory
from jobs.process.clock import utc_now
from jobs.queues.broker import WakingBroker
from jobs.queues.clients import blocking_client_for, client_for
from jobs.queues.control_requests import ControlRequests
from jobs.queues.names import SCAN
from jobs.settings.load import Settings
from jobs.upkeep.recovery import Recovery
from llm.backends.registry import Backends
from llm.catalog import load_catalog
from llm.scanner import Scanner
from models import counts, database

SLOTS_RENEWED_WITHIN_SECONDS = 3.0
"""The lease keeper renews every second; after a flush nothing new is admitted for this long."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The shared services of one process. ``close`` ends its connections."""

    settings: Settings
    redis: redis.Redis
    broker: WakingBroker
    requests: ControlRequests
    slots: Slots
    rates: Rates
    limits: Limits
    breakers: Breakers
    residency: Residency
    consumers: Consumers
    backends: Backends
    scanner: Scanner
    figures: LearnedFigures
    state: StateReader
    recovery: Recovery

    def close(self) -> None:
        self.backends.close()
        database.close_all()
        self.broker.blocking_client.close()
        self.redis.close()


class RedisScanCache:
    """The last scan, shared by every process."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def read(self) -> str | None:
        found = self._client.get(SCAN)
        return found.decode() if isinstance(found, bytes) else found

    def write(self, text: str, ttl_seconds: float) -> None:
        self._client.set(SCAN, text, px=max(1, int(ttl_seconds * 1000)))


def model_servers(settings: Settings, client: redis.Redis | None) -> tuple[Backends, Scanner]:
    """The configured servers, and a scanner of them that classes models as the catalog says.

    With ``client`` the scan is the one that all processes share, else it is the caller's own.
    """
    backends = Backends(settings.backends, environ=settings.environ)
    scanner = Scanner(
        backends,
        cache=RedisScanCache(client) if client else None,
        catalog=load_catalog(settings.catalog_file),
        fresh_seconds=settings.scan_cache_seconds,
        memory_bytes=local_memory(settings),
        clock=utc_now,
    )
    return backends, scanner


def connect(settings: Settings, *, program: str = "kos") -> Runtime:
    """Build the runtime of this process. Connects lazily; raises ValueError for unusable URLs."""
    if not settings.database_url or not settings.redis_url:
        raise ValueError(
            "no database and queue are running: start them with `kos up`, "
            "or set DATABASE_URL and REDIS_URL"
        )
    database.configure(
        settings.database_url,
        pool_size=settings.database_pool_size,
        application_name=f"kos-{program}",
    )
    client = client_for(settings.redis_url)
    broker = WakingBroker(client, blocking_client_for(settings.redis_url))
    backends, scanner = model_servers(settings, client)
    slots = Slots(
        client,
        lease_seconds=settings.lease_seconds,
        renew_seconds=SLOTS_RENEWED_WITHIN_SECONDS,
        calls_may_run=_tasks_may_run,
    )
    requests = ControlRequests(broker, client)
    limits, residency, consumers = Limits(client, settings), Residency(client), Consumers(client)
    breakers = Breakers(client, on_open=requests.breaker_opened)
    return Runtime(
        settings=settings,
        redis=client,
        broker=broker,
        requests=requests,
        slots=slots,
        rates=Rates(client),
        limits=limits,
        breakers=breakers,
        residency=residency,
        consumers=consumers,
        backends=backends,
        scanner=scanner,
        figures=LearnedFigures(settings.backends, scanner),
        state=StateReader(
            settings,
            scanner=scanner,
            limits=limits,
            breakers=breakers,
            residency=residency,
            consumers=consumers,
        ),
        recovery=Recovery(settings, client, slots, breakers, consumers),
    )


def _tasks_may_run() -> bool:
    """Never raises: True where that cannot be read, False where there are no tables yet."""
    try:
        with database.session():
            return counts.any_leased()
    except (database.DatabaseUnavailable, *database.PEEWEE_ERRORS) as error:
        return not database.lacks_tables(error)
