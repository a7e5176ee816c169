"""A worker process: ``python -m jobs.worker --queues llm-ollama --threads 12``.

One process a program, and no forked master: supervisor is the master. SIGTERM drains: nothing new
is admitted, running calls get ``KOS_DRAIN_SECONDS`` to finish, then they are interrupted and their
rows return to the queue without spending an attempt.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Sequence

import redis
from dramatiq import Worker
from dramatiq.worker import WorkerThread

from jobs.admission.slot_events import FreedSlots
from jobs.app import WorkerApp, build_app
from jobs.attempt.lease_keeper import DRAINED
from jobs.process import signals
from jobs.queues.clients import LONGEST_BLOCK_SECONDS
from jobs.queues.names import CONTROL_QUEUE, LLM_QUEUE_PREFIX
from models.database import DatabaseUnavailable

logger = logging.getLogger(__name__)

WATCHDOG_SECONDS = 2.0
AFTER_DRAIN_SECONDS = 10.0
CONSUMERS_END_SECONDS = 5.0
IDLE_WAKE_MS = int(LONGEST_BLOCK_SECONDS * 1000)
THREAD_POLL_MS = 500


class QuickToStop(Worker):
    """Its consumers wait long for a wake; its threads often check whether to end."""

    def _add_worker(self) -> None:
        patience, self.worker_timeout = self.worker_timeout, THREAD_POLL_MS
        try:
            super()._add_worker()
        finally:
            self.worker_timeout = patience


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    settings = signals.prepare(f"worker-{options.queues[0]}")
    app = build_app(
        settings, queues=options.queues, program=options.program or f"jobs:{options.queues[0]}"
    )
    stop = signals.stop_on(signal.SIGTERM, signal.SIGINT)
    return run(app, threads=options.threads, queues=options.queues, stop=stop)


def run(app: WorkerApp, *, threads: int, queues: Sequence[str], stop: signals.Stop) -> int:
    """Work until ``stop``, then drain. 0: drained; 1: a thread of the worker had died."""
    app.lease_keeper.start()
    _recover_at_start(app)
    freed_slots = _listen_for_slots(app, queues)
    worker = QuickToStop(
        app.runtime.broker, queues=set(queues), worker_threads=threads, worker_timeout=IDLE_WAKE_MS
    )
    worker.queue_prefetch = threads
    worker.start()
    logger.info("worker_ready queues=%s threads=%d", ",".join(queues), threads)
    _request_plan(app, queues)
    healthy = True
    while healthy and not stop.wait(WATCHDOG_SECONDS):
        healthy = _alive(app, worker)
        _flush(app)
        if CONTROL_QUEUE in queues:
            _watch_consumers(app)
    _drain(app, worker, stop)
    freed_slots.stop()
    app.runtime.close()
    return 0 if healthy else 1


def _listen_for_slots(app: WorkerApp, queues: Sequence[str]) -> FreedSlots:
    """Slots freed by other processes wake the messages that wait for one here."""
    slots = app.runtime.slots
    listener = FreedSlots(app.runtime.redis, slots.freed_channel, app.admission.freed)
    if any(queue.startswith(LLM_QUEUE_PREFIX) for queue in queues):
        listener.start()
    return listener


def _recover_at_start(app: WorkerApp) -> None:
    """A predecessor killed a moment ago left rows behind: return them before anything else."""
    try:
        if app.runtime.recovery.run().returned:
            app.runtime.requests.plan("recovery")
    except (DatabaseUnavailable, redis.RedisError) as error:
        logger.warning("not_recovered_at_start error=%s", error)


def _request_plan(app: WorkerApp, queues: Sequence[str]) -> None:
    """A planner that was killed may have taken a request for a plan with it."""
    requests = app.runtime.requests
    try:
        if CONTROL_QUEUE in queues:
            requests.clear_dedup_keys()
            app.runtime.consumers.start_anew()
        requests.plan("worker started")
    except redis.RedisError as error:
        logger.warning("no_plan_requested_at_start error=%s", error)
        requests.add_pending()


def _alive(app: WorkerApp, worker: Worker) -> bool:
    """A process that lost a thread stays RUNNING for supervisor: end it, and it is started anew."""
    threads = [*worker.consumers.values(), *worker.workers]
    if all(thread.is_alive() for thread in threads) and app.lease_keeper.alive:
        return True
    logger.critical("worker_thread_died: ending this process so that it is started anew")
    return False


def _flush(app: WorkerApp) -> None:
    try:
        app.runtime.requests.flush()
    except redis.RedisError as error:
        logger.warning("still_pending error=%s", error)


def _watch_consumers(app: WorkerApp) -> None:
    """A stopped worker says nothing: what is queued for it goes back, and the plan is made anew."""
    runtime = app.runtime
    try:
        if runtime.consumers.changed(spec.name for spec in runtime.settings.backends):
            runtime.requests.recover("consumers")
            runtime.requests.plan("consumers")
    except redis.RedisError as error:
        logger.warning("consumers_unknown error=%s", error)


def _drain(app: WorkerApp, worker: Worker, stop: signals.Stop) -> None:
    drain_seconds = app.runtime.settings.drain_seconds
    logger.info("draining running=%d seconds=%g", app.lease_keeper.running, drain_seconds)
    app.admission.drain()
    app.heartbeat.leave_queues(app.runtime.broker)
    drained = threading.Event()
    helper = threading.Thread(
        target=_finish_drain, args=(app, stop, drained, drain_seconds), daemon=True
    )
    helper.start()
    end_threads(worker.workers, seconds=drain_seconds + AFTER_DRAIN_SECONDS)
    app.lease_keeper.interrupt_all()
    worker.stop(timeout=int(CONSUMERS_END_SECONDS * 1000))
    drained.set()
    helper.join()
    app.lease_keeper.stop()
    logger.info("drained")


def end_threads(threads: Sequence[WorkerThread], *, seconds: float) -> None:
    """Stop and join all ``threads`` against one deadline.

    Dramatiq's own join counts the time that passed once for every thread: of three running calls,
    the last one is left behind long before the time is over.
    """
    for thread in threads:
        thread.stop()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _finish_drain(
    app: WorkerApp, stop: signals.Stop, drained: threading.Event, drain_seconds: float
) -> None:
    """Wake idle consumers so that they see the end; interrupt calls that outlast the drain."""
    deadline = time.monotonic() + drain_seconds
    interrupted = False
    while not drained.wait(0.1):
        if not interrupted and (stop.hurry.is_set() or time.monotonic() > deadline):
            app.lease_keeper.cancel_all(DRAINED)
            interrupted = True
        try:
            app.runtime.broker.wake_all()
        except redis.RedisError as error:
            logger.warning("consumers_not_woken error=%s", error)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m jobs.worker", description=__doc__)
    parser.add_argument("--queues", required=True, type=lambda text: text.split(","))
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--program", help="name under which supervisor runs this")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
