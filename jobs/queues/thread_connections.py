"""The threads of a worker keep their connection to Postgres from one message to the next."""

from __future__ import annotations

from dramatiq import Broker, Middleware
from dramatiq.worker import WorkerThread

from models.database import give_up_connections, keep_connections


class KeptConnections(Middleware):
    """A task takes a connection three times, a thread once."""

    def after_worker_thread_boot(self, broker: Broker, thread: WorkerThread) -> None:
        keep_connections()

    def before_worker_thread_shutdown(self, broker: Broker, thread: WorkerThread) -> None:
        give_up_connections()
