"""The programs of a deployment that are not in ``supervisord.conf``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from console.services.errors import ServiceError
from jobs.settings.load import Settings, shipped

PYTHON = '"%(ENV_KOS_PYTHON)s" -m'
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
STATIC_GROUPS = {
    "jobs": ("scheduler", "listener", "control"),
    "watch": ("health", "dashboard", "gateway"),
}
"""The programs of ``supervisord.conf``."""
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Program:
    """One program of ``supervisord``; it is known to people as ``group:name``."""

    group: str
    name: str
    command: str
    priority: int
    stop_signal: str = "TERM"
    stop_wait_seconds: int = 15
    starts_by_itself: bool = False


def varying_programs(settings: Settings) -> tuple[Program, ...]:
    """The embedded databases, the model servers that we run, and one worker a backend."""
    return (*_infra(settings), *_servers(settings), *_workers(settings))


def stop_wait_seconds(settings: Settings) -> int:
    """More than twice the drain: a worker waits for its tasks, then hands the rest back."""
    return int(2 * settings.drain_seconds) + 10


def conf_file() -> Path:
    """``supervisord.conf``; raises ServiceError where the installation is not whole."""
    path = shipped("supervisord.conf")
    if not path.is_file():
        raise ServiceError(f"{path} is missing; install the project again")
    return path


def static_groups(settings: Settings) -> dict[str, tuple[str, ...]]:
    """The programs of ``supervisord.conf`` that run here, by group."""
    return {
        group: tuple(name for name in names if name in settings.role.programs)
        for group, names in STATIC_GROUPS.items()
    }


def left_out(settings: Settings) -> tuple[str, ...]:
    """Those that do not run here: without a group, supervisor makes each of them one of its own."""
    every = (name for names in STATIC_GROUPS.values() for name in names)
    return tuple(name for name in every if name not in settings.role.programs)


def _infra(settings: Settings) -> list[Program]:
    programs = []
    if settings.embedded_postgres:
        programs.append(
            Program(
                group="infra",
                name="postgres",
                command=f"{PYTHON} console.services postgres",
                priority=10,
                stop_signal="INT",
                stop_wait_seconds=30,
                starts_by_itself=True,
            )
        )
    if settings.embedded_redis:
        programs.append(
            Program(
                group="infra",
                name="redis",
                command=f"{PYTHON} console.services redis",
                priority=10,
                starts_by_itself=True,
            )
        )
    return programs


def _servers(settings: Settings) -> list[Program]:
    programs = []
    for name in settings.simulated:
        backend = settings.backend(name)
        if backend is None:
            continue
        port = urlsplit(backend.url).port
        programs.append(
            Program(
                group="servers",
                name=f"simulator-{name}",
                command=f"{PYTHON} llm.simulator --kind {backend.kind} --port {port} "
                f"--time-scale {settings.simulator_speed:g}",
                priority=20,
                starts_by_itself=True,
            )
        )
    if runs_mlx_server(settings):
        programs.append(
            Program(
                group="servers",
                name="mlx-api",
                command=f"{PYTHON} console.services mlx-api{_port_option(settings)}",
                priority=20,
                starts_by_itself=True,
            )
        )
    return programs


def _port_option(settings: Settings) -> str:
    """The server's port option, if ``kos up`` chose the address."""
    backend = settings.backend("mlx")
    if not settings.own_mlx_server or backend is None or "MLX_API_PORT" in settings.environ:
        return ""
    return f" --port {urlsplit(backend.url).port}"


def runs_mlx_server(settings: Settings) -> bool:
    """Whether it is wanted and the backend's URL points at this machine."""
    backend = settings.backend("mlx")
    if not settings.run_mlx_server or backend is None or "mlx" in settings.simulated:
        return False
    return urlsplit(backend.url).hostname in LOOPBACK


def _workers(settings: Settings) -> list[Program]:
    programs: list[Program] = []
    if not settings.role.has_workers:
        return programs
    for backend in settings.backends:
        if not SAFE_NAME.fullmatch(backend.name):
            raise ServiceError(
                f"the backend name {backend.name!r} cannot name a program; "
                "use letters, digits, dots, dashes and underscores"
            )
        threads = min(settings.worker_threads, backend.max_concurrent + settings.dispatch_ahead)
        programs.append(
            Program(
                group="jobs",
                name=f"llm-{backend.name}",
                command=f"{PYTHON} jobs.worker --queues llm-{backend.name} --threads {threads}",
                priority=40,
                stop_wait_seconds=stop_wait_seconds(settings),
            )
        )
    return programs
