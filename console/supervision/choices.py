"""What ``kos up`` settles before anything starts, kept in ``KOS_HOME/env``.

Ports are taken free at the first start and kept; one that somebody else took meanwhile is chosen
anew, but only while nothing of ours runs.
"""

from __future__ import annotations

import os
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
from console.supervision.simulated import Absent, choose_servers
from jobs.settings.load import Settings, load
from jobs.settings.names import with_current_names
from jobs.settings.role import Role
from jobs.settings.sources import (
    EMBEDDED,
    OWN,
    OWN_MLX,
    OWN_SERVERS,
    SIMULATED,
    home_glob,
    read_dotenv,
    read_home_env,
    without_exported,
)

TWINS = frozenset({*EMBEDDED.values(), *OWN.values(), *OWN_SERVERS.values()})
PORTS = (
    ("dashboard_port", "KOS_DASHBOARD_PORT"),
    ("gateway_port", "KOS_GATEWAY_PORT"),
    ("health_port", "KOS_HEALTH_PORT"),
)


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
            "KOS_HOME_GLOB": home_glob(settings.home),
            "KOS_SUPERVISOR_SOCKET": str(socket),
            "KOS_PROJECT": str(project),
            "KOS_PYTHON": python,
            "KOS_AUTOSTART": "true",
            "KOS_STOP_WAIT_SECONDS": str(stop_wait_seconds(settings)),
            "KOS_DOTENV": str(settings.dotenv) if settings.dotenv else None,
        },
    )


def choose_services(settings: Settings, *, running: bool) -> None:
    """Write the URLs of this home's services: the embedded ones, or the user's own.

    URLs of embedded services stay on record beside the user's own, because their data stay too.
    Ports stay as they are while our programs are ``running``, because these use them.
    """
    if not running:
        _forget_taken_ports(settings)
    for name, url, embedded, plan in (
        ("DATABASE_URL", settings.database_url, settings.embedded_postgres, postgres_plan),
        ("REDIS_URL", settings.redis_url, settings.embedded_redis, redis_plan),
    ):
        if embedded:
            update_env(settings.home, {name: plan(settings.home).url, OWN[name]: None})
        else:
            update_env(settings.home, {name: url, OWN[name]: url})
    update_env(settings.home, {OWN["KOS_DATABASE_DIRECT_URL"]: settings.database_direct_url})


def _remember_exported(settings: Settings, environ: Mapping[str, str]) -> None:
    """Write the model servers that this shell exports; an empty variable forgets one.

    A ``.env`` is found again without that.
    """
    exported = with_current_names(without_exported(environ))
    if "OLLAMA_BASE_URL" in exported:
        exported = {"OLLAMA_API_URL": exported["OLLAMA_BASE_URL"], **exported}
    for name in read_dotenv(settings.dotenv):
        exported.setdefault(name, "")
    texts = {name: exported[name].strip() for name in OWN_SERVERS if name in exported}
    if texts.get("KOS_BACKENDS_FILE"):
        texts["KOS_BACKENDS_FILE"] = str(Path(texts["KOS_BACKENDS_FILE"]).expanduser().absolute())
    update_env(settings.home, {OWN_SERVERS[name]: text or None for name, text in texts.items()})


def forget_own_services(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """From services of the person's own to the embedded ones, which takes this explicit word.

    Raises:
        ServiceError: their URLs are still set.
    """
    update_env(settings.home, dict.fromkeys(OWN.values()))
    fresh = reread(settings, environ)
    if not (fresh.embedded_postgres and fresh.embedded_redis):
        named = "REDIS_URL" if fresh.embedded_postgres else "DATABASE_URL"
        raise ServiceError(
            f"{named} is set in this shell or in .env: take it out, then run kos up --embedded"
        )
    return fresh


def require_known_services(settings: Settings) -> None:
    """Refuse to bring up empty databases for a home whose rows lie in services of one's own.

    Raises:
        ServiceError: it ran on some before homes remembered their URLs.
    """
    written = read_home_env(settings.home)
    for name, embedded in (
        ("DATABASE_URL", settings.embedded_postgres),
        ("REDIS_URL", settings.embedded_redis),
    ):
        if embedded and "KOS_PYTHON" in written and EMBEDDED[name] not in written:
            raise ServiceError(
                f"{settings.home} ran on a service of your own that {name} named: set {name} once "
                "and it is remembered, or run kos up --embedded to start with empty databases"
            )


def write_file_roots(settings: Settings) -> None:
    """What the workers may read from now on, for everything that takes in new tasks."""
    roots = os.pathsep.join(str(root) for root in settings.file_roots)
    update_env(settings.home, {"KOS_WORKER_FILE_ROOTS": roots or None})


def choose_ports(settings: Settings) -> None:
    """A free port for each of our own listeners, the usual one where it is free."""
    update_env(
        settings.home,
        {name: str(free_port(getattr(settings, field))) for field, name in PORTS},
    )


def choose_model_servers(
    settings: Settings, environ: Mapping[str, str], *, absent: Absent, running: bool
) -> tuple[str, ...]:
    """Settle what serves each backend; one line for each that says so. What an earlier ``up``
    chose is forgotten."""
    _remember_exported(settings, environ)
    earlier = read_home_env(settings.home)
    update_env(settings.home, dict.fromkeys((OWN_MLX, *(key for _, key in SIMULATED.values()))))
    chosen, lines = choose_servers(
        reread(settings, environ), absent=absent, earlier=earlier, running=running
    )
    update_env(settings.home, chosen)
    return lines


def choose_role(settings: Settings, environ: Mapping[str, str], role: Role | None) -> Settings:
    """Keep ``role`` (None: the one on record); the settings of the home with it.

    Raises:
        ServiceError: ``KOS_ROLE`` says otherwise, or a host of workers has databases of its own.
    """
    if role is not None:
        update_env(settings.home, {"KOS_ROLE": role.value})
    chosen = reread(settings, environ)
    if role not in (None, chosen.role):
        raise ServiceError(f"KOS_ROLE={chosen.role} is set: take it out, or set {role} there")
    if chosen.role is Role.WORKERS and (chosen.embedded_postgres or chosen.embedded_redis):
        raise ServiceError(
            "a host of workers uses the databases of the others: set DATABASE_URL and REDIS_URL"
        )
    return chosen


def environment_of_supervisord(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment that every program inherits.

    URLs that the file holds stay out: programs read them there, where they are true after the
    next start too.
    """
    dotenv = read_dotenv(settings.dotenv)
    kept = {
        name: text
        for name, text in without_exported(environ).items()
        if (name not in {*EMBEDDED, *OWN_SERVERS} or name in dotenv)
        and name not in TWINS
        and not name.startswith("SUPERVISOR_")
    }
    written = read_home_env(settings.home)
    ours = {
        name: text for name, text in written.items() if name not in EMBEDDED and name not in TWINS
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
