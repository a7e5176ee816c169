"""``up``: from nothing, or from anything half running, to every program running and answering."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from console.home import locked, prepare_home, private_directory, write_private
from console.services.account import SHARED_STATE
from console.services.errors import ServiceError
from console.services.identity import orphans
from console.supervision import changes, choices
from console.supervision.client import Supervisor, connected
from console.supervision.health import wait_for_databases, wait_until_running
from console.supervision.orphans import end_orphans
from console.supervision.programs import conf_file, left_out, static_groups, varying_programs
from console.supervision.readiness import Unready, unready_workers
from console.supervision.render import render
from console.supervision.simulated import Absent
from console.supervision.tables import prepare_tables
from jobs.settings.load import PROJECT, Settings
from jobs.settings.role import Role

POLL_SECONDS = 0.05
LOCK_SECONDS = 120.0
STOPPED_ON_PURPOSE = "stopped-on-purpose"  # scripts/system_auto_recovery.sh leaves it alone then

Say = Callable[[str], None]


class PrepareTables(Protocol):
    def __call__(self, settings: Settings, *, demo: bool) -> Iterable[str]: ...


def up(
    settings: Settings,
    *,
    demo: bool = False,
    absent: Absent | None = None,
    embedded: bool = False,
    role: Role | None = None,
    environ: Mapping[str, str] | None = None,
    project: Path = PROJECT,
    python: str = sys.executable,
    prepare: PrepareTables = prepare_tables,
    unready: Unready = unready_workers,
    timeout_seconds: float = 120.0,
    say: Say = lambda line: None,
) -> Settings:
    """Start everything and return the settings of the running system.

    Safe to call when it already runs: changed programs are restarted, stopped ones started.
    ``demo`` adds the sample experts and simulates model servers that do not answer, where
    ``absent`` does not say otherwise, and ``embedded`` leaves the services of
    one's own that the home remembers; ``role`` is remembered from now on. ``say`` gets a line for
    each choice.

    Raises:
        ServiceError: something does not start or fit; the message says what to do.
    """
    environ = os.environ if environ is None else environ
    prepare_home(settings.home)
    socket = choices.choose_socket(settings)
    with only_one(settings.home), connected(socket) as supervisor:
        running = supervisor.answers()
        if embedded:
            settings = choices.forget_own_services(settings, environ)
        choices.require_known_services(settings)
        if not running:
            _clear_the_ground(settings, socket)
            for line in orphans(SHARED_STATE):
                say(line)
        choices.choose_services(settings, running=running)
        choices.write_paths(settings, socket=socket, project=project, python=python)
        absent = absent or (Absent.SIMULATE if demo else Absent.WAIT)
        for line in choices.choose_model_servers(settings, environ, absent=absent, running=running):
            say(line)
        settings = choices.choose_role(settings, environ, role)
        _write_programs(settings)
        now = changes.present(settings, environ)
        if running:
            _reload_programs(supervisor, timeout_seconds=timeout_seconds)
            _apply_changes(supervisor, settings, now, timeout_seconds=timeout_seconds, say=say)
        else:
            changes.remember(settings.home, now)
            choices.write_file_roots(settings)
            _start_supervisord(settings, environ)
            _wait_for_supervisord(supervisor, settings)
        _start_infra(supervisor, settings)
        for line in prepare(settings, demo=demo):
            say(line)
        _start_rest(supervisor, settings)
        wait_until_running(supervisor, settings, unready=unready, timeout_seconds=timeout_seconds)
    return choices.reread(settings, environ)


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """One ``up`` or ``down`` at a time for a home; a second one waits for the first."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        with locked(home, "up") as held:
            if held:
                yield
                return
        if time.monotonic() > deadline:
            raise ServiceError(f"another kos up or down of {home} takes too long; wait or end it")
        time.sleep(POLL_SECONDS)


def _clear_the_ground(settings: Settings, socket: Path) -> None:
    """Nothing of ours runs, or shall run on: then ports may be chosen."""
    private_directory(socket.parent)
    (settings.home / "run" / STOPPED_ON_PURPOSE).unlink(missing_ok=True)
    end_orphans(settings.home, socket)
    choices.choose_ports(settings)


def _write_programs(settings: Settings) -> None:
    text = render(varying_programs(settings), static_groups(settings))
    write_private(settings.home / "conf.d" / "programs.conf", text)


def _start_supervisord(settings: Settings, environ: Mapping[str, str]) -> None:
    """It detaches by itself into a session of its own."""
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(conf_file())]
    environment = choices.environment_of_supervisord(settings, environ)
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        start_new_session=True,
    )
    if done.returncode != 0:
        output = (done.stderr or done.stdout).strip().splitlines()
        raise ServiceError(f"supervisord did not start: {output[-1] if output else 'no message'}")


def _wait_for_supervisord(supervisor: Supervisor, settings: Settings) -> None:
    deadline = time.monotonic() + 15
    while not supervisor.answers():
        if time.monotonic() > deadline:
            log = settings.log_directory / "supervisord.log"
            raise ServiceError(f"supervisord does not answer; see {log}")
        time.sleep(POLL_SECONDS)


def _apply_changes(
    supervisor: Supervisor,
    settings: Settings,
    now: changes.Applied,
    *,
    timeout_seconds: float,
    say: Say,
) -> None:
    """Stop the programs that changed settings concern; they drain, and are started again below."""
    before = changes.recall(settings.home) or now
    found = changes.since(before, now)
    running = supervisor.status()
    chosen = [
        program.name
        for program in running
        if {program.name, f"{program.group}:*"} & set(found.programs)
    ]
    if found.applied:
        say(f"changed: {', '.join(found.applied)}; restarting {', '.join(chosen) or 'nothing'}")
    if found.waiting:
        say(
            f"not applied: {', '.join(found.waiting)} (exported, or a .env in another place, when "
            "the programs started); kos down, then kos up"
        )
    _stop_drained(supervisor, chosen, timeout_seconds=timeout_seconds)
    if "KOS_FILE_ROOTS" not in found.waiting:
        choices.write_file_roots(settings)
    left = {name: before.settings[name] for name in found.waiting if name in before.settings}
    changes.remember(settings.home, changes.Applied(before.exported, {**now.settings, **left}))


def _stop_drained(supervisor: Supervisor, names: Sequence[str], *, timeout_seconds: float) -> None:
    """Stop programs and wait for it; raises ServiceError where one still drains then."""
    for name in names:
        supervisor.stop(name)
    deadline = time.monotonic() + timeout_seconds
    while late := [p.name for p in supervisor.status() if p.name in names and p.pid is not None]:
        if time.monotonic() > deadline:
            raise ServiceError(f"{late[0]} still drains; run kos up again in a while")
        time.sleep(POLL_SECONDS)


def _reload_programs(supervisor: Supervisor, *, timeout_seconds: float) -> None:
    added, altered, removed = supervisor.reload_configuration()
    for group in [*altered, *removed]:
        supervisor.stop(f"{group}:*")
        deadline = time.monotonic() + timeout_seconds
        while not supervisor.remove_group(group):
            if time.monotonic() > deadline:
                raise ServiceError(f"{group} still drains; run kos up again in a while")
            time.sleep(POLL_SECONDS)
    for group in [*added, *altered]:
        supervisor.add_group(group)


def _start_infra(supervisor: Supervisor, settings: Settings) -> None:
    """The databases first; our own are started, others must answer."""
    groups = {program.group for program in supervisor.status()}
    for group in ("infra", "servers"):
        if group in groups:
            supervisor.start(f"{group}:*")
    wait_for_databases(supervisor, settings)


def _start_rest(supervisor: Supervisor, settings: Settings) -> None:
    for name in left_out(settings):
        supervisor.remove_group(name)
    for group in sorted({program.group for program in supervisor.status()} - {"infra", "servers"}):
        supervisor.start(f"{group}:*")
