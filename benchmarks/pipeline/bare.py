"""Bare dramatiq doing the least that a task needs: claim UPDATE, model call, result UPDATE."""

from __future__ import annotations

import os
import signal
import threading

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from llm.backends.registry import build
from llm.types import BackendKind, BackendSpec, Deadlines, GenerateRequest, Message
from models import database
from models.base import fetch_all

THREADS = 16
CLAIM = "UPDATE tasks SET status = 'in_progress', started_at = now() WHERE id = %s RETURNING id"
FINISH = "UPDATE tasks SET status = 'completed', result = %s WHERE id = %s RETURNING id"


def main() -> None:
    broker = RedisBroker(url=os.environ["REDIS_URL"], middleware=[])
    database.configure(os.environ["DATABASE_URL"], pool_size=THREADS + 4)
    spec = BackendSpec(
        "ollama", BackendKind.OLLAMA, os.environ["OLLAMA_API_URL"], max_concurrent=32
    )
    backend = build(spec, environ={})

    def work(task_id: str) -> None:
        with database.session():
            fetch_all(CLAIM, (task_id,))
        answer = backend.generate(
            GenerateRequest(
                model=os.environ["BENCH_MODEL"],
                messages=(Message("user", f"Summarise what is known about topic {task_id}"),),
                max_tokens=64,
            ),
            deadlines=Deadlines(),
        )
        with database.session():
            fetch_all(FINISH, (answer.text, task_id))

    dramatiq.actor(actor_name="work", queue_name="bare", broker=broker)(work)
    worker = dramatiq.Worker(broker, worker_threads=THREADS)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    worker.start()
    stop.wait()
    worker.stop(timeout=5000)


if __name__ == "__main__":
    main()
