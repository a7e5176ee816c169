"""Does one event of the script to the stage. Every harm ends by itself; it runs in a thread."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field

import psycopg2
import redis

from benchmarks.chaos.script import Event, Harm
from benchmarks.chaos.stage import LEASE_SECONDS, Stage
from jobs.process.owners import process_owner

DOWN_SECONDS = 1.5
CUT_SECONDS = 4.0
FULL_SECONDS = 3.0
FROZEN_SECONDS = LEASE_SECONDS + 4.0
MOST_CONNECTIONS = 400
BUSY_WITHIN_SECONDS = 8.0
RUNS = "SELECT 1 FROM tasks WHERE status = 'in_progress' AND lease_owner LIKE %s LIMIT 1"


@dataclass(frozen=True, slots=True)
class Freeze:
    """A process that stood still: its ``pid``, and when, in seconds since the epoch."""

    program: str
    pid: int
    from_at: float
    to_at: float


@dataclass
class Harms:
    """Performs events; remembers what stood still, and what could not be done."""

    stage: Stage
    freezes: list[Freeze] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    _servers: threading.Lock = field(default_factory=threading.Lock)
    _frozen: set[str] = field(default_factory=set)

    def do(self, event: Event) -> None:
        actions: dict[Harm, Callable[[str], None]] = {
            Harm.RESTART_REDIS: self._restart_redis,
            Harm.FLUSH_REDIS: self._flush_redis,
            Harm.RESTART_POSTGRES: self._restart_postgres,
            Harm.FREEZE_WORKER: self._freeze,
            Harm.CUT_BACKEND: self._cut,
            Harm.FILL_POOL: self._fill_pool,
            Harm.JUMP_CLOCK: self._jump_clock,
        }
        actions.get(event.harm, self._kill)(event.target)

    def _kill(self, program: str) -> None:
        if program in self._frozen:
            self.skipped.append(f"{program} is frozen")
            return
        os.kill(self.stage.pid(program), signal.SIGKILL)

    def _restart_redis(self, _: str) -> None:
        self._restart(self.stage.redis.kill, self.stage.redis.start)

    def _restart_postgres(self, _: str) -> None:
        self._restart(self.stage.postgres.kill, self.stage.postgres.start)

    def _restart(self, kill: Callable[[], None], start: Callable[[], None]) -> None:
        with self._servers:
            kill()
            threading.Event().wait(DOWN_SECONDS)
            start()

    def _flush_redis(self, _: str) -> None:
        with self._servers, closing(redis.Redis.from_url(self.stage.redis.url)) as client:
            client.flushall()

    def _freeze(self, program: str) -> None:
        if program in self._frozen:
            self.skipped.append(f"{program} is frozen already")
            return
        self._frozen.add(program)
        pid = self._busy_pid(program)
        os.kill(pid, signal.SIGSTOP)
        began = time.time()
        threading.Event().wait(FROZEN_SECONDS)
        os.kill(pid, signal.SIGCONT)
        self.freezes.append(Freeze(program, pid, began, time.time()))
        self._frozen.discard(program)

    def _busy_pid(self, program: str) -> int:
        """The process once it runs a task: standing still in idleness proves nothing."""
        deadline = time.monotonic() + BUSY_WITHIN_SECONDS
        while time.monotonic() < deadline:
            owner = owner_ends_with(self.stage.pid(program)) + "%"
            with suppress(psycopg2.Error):
                if self.stage.system.sql(RUNS, (owner,)):
                    break
            time.sleep(0.02)
        return self.stage.pid(program)

    def _cut(self, backend: str) -> None:
        self.stage.simulator(backend).fault("refuse", seconds=CUT_SECONDS)

    def _fill_pool(self, _: str) -> None:
        """Take every connection that Postgres has, and hold them for a while."""
        held: list[psycopg2.extensions.connection] = []
        with self._servers:
            try:
                with suppress(psycopg2.OperationalError):
                    held.extend(
                        psycopg2.connect(self.stage.postgres.url, connect_timeout=5)
                        for _ in range(MOST_CONNECTIONS)
                    )
                threading.Event().wait(FULL_SECONDS)
            finally:
                for connection in held:
                    connection.close()

    def _jump_clock(self, seconds: str) -> None:
        """The running scheduler and the one that follows it see the new time."""
        self.stage.clock_file.write_text(seconds)
        self._kill("scheduler")


def owner_ends_with(pid: int) -> str:
    """The middle of the owner names of process ``pid`` on this host."""
    host = process_owner().rsplit("/", 2)[0]
    return f"{host}/{pid}/"
