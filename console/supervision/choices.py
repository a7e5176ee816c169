"""What ``kos up`` settles before anything starts, kept in ``KOS_HOME/env``.

Ports are taken free at the first start and kept; one that somebody else took meanwhile is chosen
anew, but only while nothing of ours runs.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from console.home import (
    free_port,
    port_is_free,
    supervisor_socket_path,
    update_env,
)
from console.services.choose import (
    POSTGRES_KEY,
    REDIS_KEY,
    postgres_plan,
    redis_plan,
)
from console.services.errors import ServiceError
from console.supervision.programs import stop_wait_seconds
from console.supervision.simulated import choose_simulated
from jobs.settings.load import Settings, load
from jobs.settings.sources import EMBEDDED, SIMULATED, read_home_env

PORTS = ("dashboard_port", "KOS_DASHBOARD_PORT"), ("health_port", "KOS_HEALTH_PORT")


def reread(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """The same deployment's settings after ``KOS_HOME/env`` changed."""
    return load({**environ, "KOS_HOME": str(settings.home)}, dotenv=settings.dotenv)


def choose_socket(settings: Settings) -> Path:
    """The supervisor's socket: the one on record, else one whose path is short enough."""
    return settings.supervisor_socket or supervisor_socket_path(settings.home)


def write_paths(settings: Settings, *, socket: Path, project: Path, python: str) -> None:
    """What ``supervisord.conf`` and ``supervisorctl`` expand."""
    home = str(settings.home)
    if "%" in home or '"' in python:
        raise ServiceError(f"{home} or {python} holds a % or a quote; choose another directory")
    update_env(
        settings.home,
        {
            "KOS_HOME": home,
            "KOS_HOME_GLOB": glob.escape(home).replace(" ", "?"),
            "KOS_SUPERVISOR_SOCKET": str(socket),
            "KOS_PROJECT": str(project),
            "KOS_PYTHON": python,
            "KOS_AUTOSTART": "true",
            "KOS_STOP_WAIT_SECONDS": str(stop_wait_seconds(settings)),
            "KOS_DOTENV": str(settings.dotenv) if settings.dotenv else None,
        },
    )


def choose_services(settings: Settings) -> None:
    """Write the URLs of the embedded services; forget those that are no longer wanted."""
    _forget_taken_ports(settings)
    if settings.embedded_postgres:
        postgres_plan(settings.home)
    else:
        update_env(settings.home, {POSTGRES_KEY: None, "DATABASE_URL": None})
    if settings.embedded_redis:
        redis_plan(settings.home)
    else:
        update_env(settings.home, {REDIS_KEY: None, "REDIS_URL": None})


def choose_ports(settings: Settings) -> None:
    """A free port for each of our own listeners, the usual one where it is free."""
    update_env(
        settings.home,
        {name: str(free_port(getattr(settings, field))) for field, name in PORTS},
    )


def choose_model_servers(
    settings: Settings, environ: Mapping[str, str], *, demo: bool
) -> tuple[str, ...]:
    """Replace what does not answer by simulators in a demo; one line for each that says which.

    Without ``demo`` the simulators of an earlier demo are forgotten.
    """
    earlier = read_home_env(settings.home)
    update_env(settings.home, {key: None for _, key in SIMULATED.values()})
    if not demo:
        return ()
    chosen, lines = choose_simulated(reread(settings, environ), earlier=earlier)
    update_env(settings.home, chosen)
    return lines


def environment_of_supervisord(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment that every program inherits.

    URLs of embedded services stay out: programs read them from the file, where they are true
    after the next start too.
    """
    kept = {
        name: text
        for name, text in environ.items()
        if not (name in EMBEDDED and text == environ.get(EMBEDDED[name]))
        and name not in EMBEDDED.values()
        and not name.startswith("SUPERVISOR_")
    }
    written = read_home_env(settings.home)
    ours = {
        name: text
        for name, text in written.items()
        if name not in EMBEDDED and name not in EMBEDDED.values()
    }
    return {**kept, **ours, "KOS_AUTOSTART": "false"}


def _forget_taken_ports(settings: Settings) -> None:
    """A password survives a change of port: the database knows it."""
    written = read_home_env(settings.home)
    for key, public in ((POSTGRES_KEY, "DATABASE_URL"), (REDIS_KEY, "REDIS_URL")):
        url = written.get(key)
        port = urlsplit(url).port if url else None
        if url and port and not port_is_free(port):
            fresh = url.replace(f":{port}/", f":{free_port()}/")
            update_env(settings.home, {key: fresh, public: fresh})
