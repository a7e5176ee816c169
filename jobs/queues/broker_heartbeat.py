"""A heartbeat for the broker, and the worker's entry in the register.

Dramatiq sends heartbeats only with the commands of its consumers, and those send none while their
prefetch is full: a busy worker would count as dead, and its messages would be delivered twice.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from typing import Any

import redis
from dramatiq import Broker, Middleware, Worker

from jobs.process.clock import epoch_seconds
from jobs.queues.broker import WakingBroker
from jobs.queues.names import NAMESPACE, WORKERS

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0


class BrokerHeartbeat(Middleware):
    """Sends heartbeats from its own thread while the worker runs."""

    def __init__(self, *, owner: str, about: Mapping[str, Any]) -> None:
        self._owner = owner
        self._about = dict(about)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def after_worker_boot(self, broker: Broker, worker: Worker) -> None:
        assert isinstance(broker, WakingBroker)
        self._send_heartbeat(broker)
        self._thread = threading.Thread(
            target=self._send_heartbeats, args=(broker,), name="broker-heartbeat", daemon=True
        )
        self._thread.start()

    def leave_queues(self, broker: WakingBroker) -> None:
        """Leave the queues while the last calls finish. A drain may take minutes; messages sent
        meanwhile must go to other workers."""
        self._about["queues"] = []
        try:
            self._send_heartbeat(broker)
        except redis.RedisError as error:
            logger.warning("drain_not_registered owner=%s error=%s", self._owner, error)

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=HEARTBEAT_SECONDS)
        assert isinstance(broker, WakingBroker)
        try:
            broker.client.hdel(WORKERS, self._owner)
        except redis.RedisError as error:
            logger.warning("worker_not_unregistered owner=%s error=%s", self._owner, error)

    def _send_heartbeats(self, broker: WakingBroker) -> None:
        while not self._stopping.wait(HEARTBEAT_SECONDS):
            try:
                self._send_heartbeat(broker)
            except redis.RedisError as error:
                logger.warning("broker_heartbeat_late owner=%s error=%s", self._owner, error)

    def _send_heartbeat(self, broker: WakingBroker) -> None:
        now = epoch_seconds()
        line = {**self._about, "broker_id": broker.broker_id, "beat_at": now}
        with broker.client.pipeline(transaction=False) as pipe:
            pipe.zadd(f"{NAMESPACE}:__heartbeats__", {broker.broker_id: int(now * 1000)})
            pipe.hset(WORKERS, self._owner, json.dumps(line))
            pipe.execute()
