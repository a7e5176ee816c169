"""Does one event of the script to the stage. Every harm ends by itself; it runs in a thread."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg2
import redis

from benchmarks.chaos.script import Event, Harm
from benchmarks.chaos.stage import LEASE_SECONDS, Stage
from jobs.process.owners import process_owner

DOWN_SECONDS = 1.5
CUT_SECONDS = 4.0
FULL_SECONDS = 3.0
FROZEN_SECONDS = LEASE_SECONDS + 4.0
SERVER_FROZEN_SECONDS = 5.0
SLEPT = "1 hour"
MOST_CONNECTIONS = 400
BUSY_WITHIN_SECONDS = 8.0
DONE_WITHIN_SECONDS = 30.0
STEP = (
    "UPDATE tasks SET lease_expires_at = now() - interval '1 second' WHERE status = 'in_progress'"
)
SHIFT = (
    f"UPDATE tasks SET lease_expires_at = lease_expires_at - interval '{SLEPT}', "
    f"queued_at = queued_at - interval '{SLEPT}' WHERE status IN ('queued', 'in_progress')"
)
WRITES = "-c default_transaction_read_only=off"
RUNS = "SELECT 1 FROM tasks WHERE status = 'in_progress' AND lease_owner LIKE %s LIMIT 1"


@dataclass(frozen=True, slots=True)
class Freeze:
    """A process that stood still: how its ``owner`` name begins, and when, in seconds since the
    epoch."""

    program: str
    owner: str
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
            Harm.FREEZE_POSTGRES: self._freeze_postgres,
            Harm.FREEZE_REDIS: self._freeze_redis,
            Harm.CUT_NETWORK: self._cut_network,
            Harm.READ_ONLY: self._take_no_writes,
            Harm.STEP_CLOCK: self._step_clock,
            Harm.SLEEP: self._sleep,
        }
        actions.get(event.harm, self._kill)(event.target)

    def _kill(self, program: str) -> None:
        if program in self._frozen or program not in self.stage.programs:
            self.skipped.append(f"{program} is frozen, or is not here")
            return
        try:
            os.kill(self.stage.pid(program), signal.SIGKILL)
        except ProcessLookupError:
            self.skipped.append(f"{program} is dead already")

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
        owner = owner_begins_with(pid)
        os.kill(pid, signal.SIGSTOP)
        began = time.time()
        threading.Event().wait(FROZEN_SECONDS)
        os.kill(pid, signal.SIGCONT)
        self.freezes.append(Freeze(program, owner, began, time.time()))
        self._frozen.discard(program)

    def _busy_pid(self, program: str) -> int:
        """The process once it runs a task: standing still in idleness proves nothing."""
        deadline = time.monotonic() + BUSY_WITHIN_SECONDS
        while time.monotonic() < deadline:
            owner = owner_begins_with(self.stage.pid(program)) + "%"
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

    def _freeze_postgres(self, _: str) -> None:
        """The postmaster and every session."""
        with self._servers:
            self.stage.excuse(SERVER_FROZEN_SECONDS)
            stopped = _tree(self.stage.postgres.pid)
            _signal(stopped, signal.SIGSTOP)
            threading.Event().wait(SERVER_FROZEN_SECONDS)
            _signal(stopped, signal.SIGCONT)

    def _freeze_redis(self, _: str) -> None:
        with self._servers:
            self.stage.redis.freeze()
            threading.Event().wait(SERVER_FROZEN_SECONDS)
            self.stage.redis.thaw()

    def _cut_network(self, target: str) -> None:
        """Open connections go silent for ever, as behind a firewall that forgot them."""
        for name, link in self.stage.links.items():
            if target in (name, "both"):
                link.freeze_open_connections()

    def _take_no_writes(self, seconds: str) -> None:
        """A failover to a server that only reads; ended however often Postgres dies meanwhile."""
        self.stage.excuse(float(seconds) + 2 * LEASE_SECONDS)
        self._until_done("ALTER SYSTEM SET default_transaction_read_only = on")
        self._until_done("SELECT pg_reload_conf()")
        threading.Event().wait(float(seconds))
        self._until_done("ALTER SYSTEM RESET default_transaction_read_only")
        self._until_done("SELECT pg_reload_conf()")

    def _step_clock(self, _: str) -> None:
        self._until_done(STEP)

    def _sleep(self, _: str) -> None:
        """A laptop that is closed: every program stands still, and wakes an hour later."""
        names = [name for name in self.stage.programs if name not in self._frozen]
        self._frozen |= set(names)
        trees = {name: _tree(self.stage.pid(name)) for name in names}
        owners = {name: owner_begins_with(tree[-1].pid) for name, tree in trees.items()}
        self.stage.excuse(FROZEN_SECONDS + 2 * LEASE_SECONDS)
        for tree in trees.values():
            _signal(tree, signal.SIGSTOP)
        began = time.time()
        threading.Event().wait(FROZEN_SECONDS)
        self._until_done(SHIFT)
        for tree in trees.values():
            _signal(tree, signal.SIGCONT)
        self.freezes += [Freeze(name, owner, began, time.time()) for name, owner in owners.items()]
        self._frozen -= set(names)

    def _until_done(self, statement: str) -> None:
        deadline = time.monotonic() + DONE_WITHIN_SECONDS
        while time.monotonic() < deadline:
            with (
                suppress(psycopg2.Error),
                closing(psycopg2.connect(self.stage.postgres.url, options=WRITES)) as connection,
            ):
                connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute(statement)
                return
            time.sleep(0.1)
        self.skipped.append(f"not done: {statement}")

    def _jump_clock(self, seconds: str) -> None:
        """The running scheduler and the one that follows it see the new time."""
        self.stage.clock_file.write_text(seconds)
        self._kill("scheduler")


def owner_begins_with(pid: int) -> str:
    """The host and process of the owner names of ``pid``, whose namespace may be another."""
    place = process_owner().rsplit("/", 2)[0].rsplit(":", 1)[0]
    namespace = os.readlink(f"/proc/{pid}/ns/pid").strip("pid:[]")
    status = Path(f"/proc/{pid}/status").read_text()
    inner = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1]
    return f"{place}:{namespace}/{inner}/"


def _tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _signal(processes: list[psutil.Process], name: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(name)
