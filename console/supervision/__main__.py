"""``python -m console.supervision running|healthy|up|run|down``: for scripts; people use ``kos``.

``running`` ends with 0 where a supervisord of the home answers, ``healthy`` where every program
runs, too.

``run`` is ``up`` that stays: for containers and service managers. SIGTERM stops everything, and
after a ``kos down`` it ends in good order, so that a service manager leaves it so. ``run --logs``
repeats the logs of all programs on stdout.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
from functools import partial

from console.services.errors import ServiceError
from console.supervision.addresses import accepts
from console.supervision.client import ProgramStatus, SupervisorNotRunning
from console.supervision.follow import LogFollower
from console.supervision.health import listeners
from console.supervision.notify import service_manager
from console.supervision.orphans import supervisord_pid
from console.supervision.start import STOPPED_ON_PURPOSE, up
from console.supervision.status import status
from console.supervision.stop import down
from jobs.settings.load import Settings, SettingsError, from_environment

COMMANDS = ("running", "healthy", "up", "run", "run --logs", "down")
USAGE = f"usage: python -m console.supervision {'|'.join(COMMANDS)}"
WATCH_SECONDS = 2.0
BOOT_SECONDS = 150.0
"""A machine is never slower than while it boots."""
LOG_BYTES = 1_000_000


def main(arguments: list[str]) -> int:
    what = " ".join(arguments)
    if what not in COMMANDS:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        return _do(what, from_environment())
    except (ServiceError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 4


def _do(what: str, settings: Settings) -> int:
    if what == "running":
        return 0 if _programs(settings) else 1
    if what == "healthy":
        return _healthy(settings)
    if what == "up":
        up(settings, say=print)
    elif what.startswith("run"):
        return _run(settings, logs=what.endswith("--logs"))
    else:
        down(settings)
    return 0


def _run(settings: Settings, *, logs: bool) -> int:
    """Run until a stop signal or ``kos down``; any other end of supervisord is an error."""
    tell = service_manager()
    _bound_log()
    stop_requested = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop_requested.set())
    if logs:
        settings.log_directory.mkdir(parents=True, exist_ok=True)
        follower = LogFollower(settings.log_directory, say=partial(print, flush=True))
        threading.Thread(target=follower.run, args=(threading.Event(),), daemon=True).start()
    settings = up(settings, say=print, timeout_seconds=BOOT_SECONDS)
    print("running; SIGTERM stops everything", flush=True)
    tell("READY=1")
    while not stop_requested.wait(WATCH_SECONDS):
        if supervisord_pid(settings.home) is None:
            if (settings.home / "run" / STOPPED_ON_PURPOSE).exists():
                print("stopped by kos down", flush=True)
                return 0
            print("supervisord is gone; starting again is up to who started us", file=sys.stderr)
            return 1
    tell("STOPPING=1")
    down(settings)
    return 0


def _bound_log() -> None:
    """launchd appends what we say to a file for ever."""
    out = os.fstat(sys.stdout.fileno())
    if stat.S_ISREG(out.st_mode) and out.st_size > LOG_BYTES:
        os.ftruncate(sys.stdout.fileno(), 0)


def _programs(settings: Settings) -> tuple[ProgramStatus, ...]:
    """Every program, () where no supervisord answers."""
    if not settings.home.is_dir():
        return ()
    try:
        return status(settings)
    except SupervisorNotRunning:
        return ()


def _healthy(settings: Settings) -> int:
    """RUNNING is not enough for a program that listens: it must answer."""
    programs = _programs(settings)
    late = [f"{program.name} {program.state}" for program in programs if not program.runs]
    if not late:
        silent = [name for name, at in listeners(settings).items() if not accepts(at)]
        late = [f"{name} does not answer" for name in silent]
    print(", ".join(late) if programs else "no supervisord answers")
    return 0 if programs and not late else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
