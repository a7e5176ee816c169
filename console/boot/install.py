"""Puts the service in place, starts and removes it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from console.boot.units import START_SECONDS, Argv, Deployment, Manager, Owner, Service, service
from console.operations.errors import OperationError
from console.supervision import changes
from jobs.settings.load import Settings
from jobs.settings.sources import OWN, read_dotenv, read_home_env

COMMAND_SECONDS = START_SECONDS + 60.0
Run = Callable[[Argv], subprocess.CompletedProcess[str]]


def planned(settings: Settings, *, manager: Manager | None, run_as: str | None) -> Service:
    """The service of this home for this account.

    Raises:
        OperationError: the machine has neither manager, or ``run_as`` does not fit.
    """
    uid = os.geteuid()
    if run_as is not None and uid != 0:
        raise OperationError("--run-as is for root: sudo kos service install --run-as NAME")
    deployment = Deployment(
        home=settings.home,
        python=sys.executable,
        path=os.environ.get("PATH", os.defpath),
        dotenv=settings.dotenv,
    )
    return service(manager or _manager(), deployment, Owner(uid, Path.home(), run_as))


def require_lasting(settings: Settings) -> None:
    """Raises OperationError where a reboot would lose something that only this shell knows."""
    written = read_home_env(settings.home)
    for name, url, embedded in (
        ("DATABASE_URL", settings.database_url, settings.embedded_postgres),
        ("REDIS_URL", settings.redis_url, settings.embedded_redis),
    ):
        if "KOS_PYTHON" not in written or (not embedded and written.get(OWN[name]) != url):
            raise OperationError("run `kos up` once: the home then remembers what it runs on")
    in_file = {"KOS_DOTENV", *read_dotenv(settings.dotenv)}
    lost = sorted(set(changes.present(settings, os.environ).exported) - in_file)
    if lost:
        file = settings.dotenv or settings.home / "settings.env"
        how = "" if settings.dotenv else f", and set KOS_DOTENV={file}"
        raise OperationError(
            f"only this shell has {', '.join(lost)}: write them into {file}{how}, then again"
        )


def install(
    planned: Service, *, make_room: Callable[[], object] = lambda: None, run: Run | None = None
) -> tuple[str, ...]:
    """Write the file, start the service now and at every boot; further steps for the person.

    ``make_room`` stops what runs without the service, once the manager is known to answer.

    Raises:
        OperationError: a service of another home is there, or the manager refuses.
    """
    run = run or _run
    if planned.file.exists() and planned.file.read_text(encoding="utf-8") != planned.text:
        raise OperationError(f"{planned.file} is there and differs: kos service remove, then again")
    planned.file.parent.mkdir(parents=True, exist_ok=True)
    planned.file.write_text(planned.text, encoding="utf-8")
    try:
        _all(planned.reach, run)
        _stop(planned, run)  # a service that runs already would end when make_room does
        make_room()
        _all(planned.start, run)
    except OperationError:
        remove(planned, run=run)  # systemd would go on trying a service that failed once
        raise
    return _linger(planned, run)


def remove(planned: Service, *, run: Run | None = None) -> bool:
    """Stop the service and remove its file; False if there was none."""
    run = run or _run
    if not planned.file.exists():
        return False
    _stop(planned, run)
    planned.file.unlink()
    for command in planned.forget:
        run(command)
    return True


def is_active(planned: Service, *, run: Run | None = None) -> bool:
    return planned.file.exists() and (run or _run)(planned.state).returncode == 0


def _stop(planned: Service, run: Run) -> None:
    for command in planned.stop:
        run(command)  # one that does not run is no obstacle


def _manager() -> Manager:
    if sys.platform == "darwin":
        return Manager.LAUNCHD
    if shutil.which("systemctl"):
        return Manager.SYSTEMD
    raise OperationError(
        "neither systemd nor launchd is here: let your service manager run "
        f"`{sys.executable} -m console.supervision run`"
    )


def _linger(planned: Service, run: Run) -> tuple[str, ...]:
    """A person's services start at login, and at boot only with this."""
    if "--user" not in planned.state:
        return ()
    name = pwd.getpwuid(os.geteuid()).pw_name
    if run(("loginctl", "enable-linger", name)).returncode == 0:
        return ()
    return (f"to start at boot, before anybody logs in: sudo loginctl enable-linger {name}",)


def _all(commands: Iterable[Argv], run: Run) -> None:
    for command in commands:
        done = run(command)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise OperationError(f"{' '.join(command)}: {said[-1] if said else done.returncode}")


def _run(command: Argv) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))
