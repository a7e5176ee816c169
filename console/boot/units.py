"""The files by which systemd and launchd start the system. Pure.

The service runs ``python -m console.supervision run``: it starts everything as ``kos up`` does, on
the databases that the home remembers, and ends after ``kos down``.
"""

from __future__ import annotations

import plistlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

SYSTEMD_NAME = "knowledge-os-jobs.service"
LAUNCHD_LABEL = "com.knowledge-os.jobs"
RUN = ("-m", "console.supervision", "run")
START_SECONDS, STOP_SECONDS, AGAIN_SECONDS = 600, 60, 10


class Manager(StrEnum):
    SYSTEMD = "systemd"
    LAUNCHD = "launchd"


@dataclass(frozen=True, slots=True)
class Owner:
    """``home_directory`` is that of the person; ``run_as`` an account for a service of root's."""

    uid: int
    home_directory: Path
    run_as: str | None = None

    @property
    def is_root(self) -> bool:
        return self.uid == 0


@dataclass(frozen=True, slots=True)
class Deployment:
    """``path`` is the PATH on which programs such as redis-server were found."""

    home: Path
    python: str
    path: str
    dotenv: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        dotenv = {"KOS_DOTENV": str(self.dotenv)} if self.dotenv else {}
        return {"KOS_HOME": str(self.home), "PATH": self.path, **dotenv}


Argv = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """``file`` holds ``text``. ``reach`` fails where the manager cannot be spoken to; the other
    commands start and stop the service, forget it, and ask for its state."""

    file: Path
    text: str
    reach: tuple[Argv, ...]
    start: tuple[Argv, ...]
    stop: tuple[Argv, ...]
    forget: tuple[Argv, ...]
    state: Argv


def service(manager: Manager, deployment: Deployment, owner: Owner) -> Service:
    """The service of ``deployment``: root's is one of the machine, else one of the person."""
    if manager is Manager.LAUNCHD:
        return _launchd(deployment, owner)
    return _systemd(deployment, owner)


def _systemd(deployment: Deployment, owner: Owner) -> Service:
    if owner.is_root:
        directory = Path("/etc/systemd/system")
        systemctl: Argv = ("systemctl",)
    else:
        directory = owner.home_directory / ".config" / "systemd" / "user"
        systemctl = ("systemctl", "--user")
    reload = (*systemctl, "daemon-reload")
    return Service(
        file=directory / SYSTEMD_NAME,
        text=_unit(deployment, owner),
        reach=(reload,),
        start=((*systemctl, "enable", "--now", SYSTEMD_NAME),),
        stop=((*systemctl, "disable", "--now", SYSTEMD_NAME),),
        forget=(reload,),
        state=(*systemctl, "is-active", SYSTEMD_NAME),
    )


def _unit(deployment: Deployment, owner: Owner) -> str:
    """https://www.freedesktop.org/software/systemd/man/systemd.service.html"""
    network = "Wants=network-online.target\nAfter=network-online.target\n"
    variables = " ".join(_quoted(f"{name}={text}") for name, text in deployment.environment.items())
    program = " ".join((_quoted(deployment.python).replace("$", "$$"), *RUN))
    return f"""\
# Written by `kos service install`; `kos service remove` removes it.
[Unit]
Description=Knowledge OS Jobs
{network if owner.is_root else ""}StartLimitIntervalSec=0

[Service]
Type=notify
{f"User={owner.run_as}{chr(10)}" if owner.run_as else ""}Environment={variables}
WorkingDirectory={str(deployment.home).replace("%", "%%")}
ExecStart={program}
# It asks every program to finish; what is left then is killed.
KillMode=mixed
TimeoutStartSec={START_SECONDS}
TimeoutStopSec={STOP_SECONDS}
# Not after `kos down`, which ends it in good order.
Restart=on-failure
RestartSec={AGAIN_SECONDS}

[Install]
WantedBy={"multi-user.target" if owner.is_root else "default.target"}
"""


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _launchd(deployment: Deployment, owner: Owner) -> Service:
    """launchd.plist(5), launchctl(1) of macOS 10.11 and later."""
    if owner.is_root:
        directory, domain = Path("/Library/LaunchDaemons"), "system"
    else:
        directory, domain = owner.home_directory / "Library" / "LaunchAgents", f"gui/{owner.uid}"
    file = directory / f"{LAUNCHD_LABEL}.plist"
    log = str(deployment.home / "log" / "service.log")
    keys = {
        "Label": LAUNCHD_LABEL,
        "ProgramArguments": [deployment.python, *RUN],
        "EnvironmentVariables": deployment.environment,
        "WorkingDirectory": str(deployment.home),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": AGAIN_SECONDS,
        "ExitTimeOut": STOP_SECONDS,
        "ProcessType": "Interactive",  # no throttling of disk and CPU
        "StandardOutPath": log,
        "StandardErrorPath": log,
    }
    if owner.run_as:
        keys["UserName"] = owner.run_as
    target = f"{domain}/{LAUNCHD_LABEL}"
    return Service(
        file=file,
        text=plistlib.dumps(keys, sort_keys=False).decode(),
        reach=(("launchctl", "print", domain),),
        start=(("launchctl", "bootstrap", domain, str(file)),),
        stop=(("launchctl", "bootout", target),),
        forget=(),
        state=("launchctl", "print", target),
    )
