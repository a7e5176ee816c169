"""Worker threads keep their Postgres connection between messages."""

from __future__ import annotations

from dramatiq import Broker, Middleware
from dramatiq.worker import WorkerThread

from models.database import give_up_connections, keep_connections


class KeptConnections(Middleware):
    """One connection per thread instead of three per task."""

    def after_worker_thread_boot(self, broker: Broker, thread: WorkerThread) -> None:
        keep_connections()

    def before_worker_thread_shutdown(self, broker: Broker, thread: WorkerThread) -> None:
        give_up_connections()
