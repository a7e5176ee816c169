"""This machine: Python, packages, disk, descriptors, directories, ports."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from console.foreign_imports import OF_ITS_OWN, OURS, foreign_import
from console.operations.doctor.check import Check, ok, red, warning
from console.services.account import unprivileged_account
from console.services.binaries import postgres_programs, redis_program
from console.services.errors import ServiceError
from console.supervision.addresses import accepts, dashboard_address, gateway_address
from jobs.settings.load import Settings
from llm.mlx_server.settings import ServerSettings, ServerSettingsError

LEAST_PYTHON = (3, 11)
PACKAGES = (
    "dramatiq", "redis", "periodiq", "peewee", "psycopg2-binary", "requests", "urllib3", "psutil",
    "supervisor", "click", "rich", "jsonschema", "python-dotenv",
)  # fmt: skip
RED_DISK_BYTES, LOW_DISK_BYTES = 200_000_000, 2_000_000_000
LEAST_DESCRIPTORS = 1024


def machine_checks(settings: Settings, *, running: bool) -> Iterator[Check]:
    """``running``: whether our programs run, which then own their ports."""
    yield from _settings(settings)
    yield _home(settings.home)
    yield _disk(settings.home)
    yield _file_roots(settings)
    yield from _stored_prefixes(settings)
    yield from _embedded(settings)
    yield from _ports(settings, running=running)


def bare_checks() -> Iterator[Check]:
    """What can be checked where no setting can be read."""
    yield _python()
    yield _packages()
    yield _imports()
    yield _descriptors()


def _python() -> Check:
    found = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    if sys.version_info[:2] < LEAST_PYTHON:
        return red("python", found, "install Python 3.11 or newer and a new virtual environment")
    return ok("python", f"{found} at {sys.executable}")


def _packages() -> Check:
    missing = [name for name in PACKAGES if not _installed(name)]
    if missing:
        return red("packages", f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}")
    return ok("packages", f"{len(PACKAGES)} installed")


def _imports() -> Check:
    if found := foreign_import():
        return red("imports", found, OF_ITS_OWN)
    return ok("imports", f"{', '.join(OURS)} are ours")


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        # Psycopg comes under two names, built and to be built.
        return name == "psycopg2-binary" and _installed("psycopg2")
    return True


def _settings(settings: Settings) -> Iterator[Check]:
    for text in settings.warnings:
        yield warning("settings", text, "correct the name in the environment or in .env")
    if not settings.warnings:
        source = f"environment and {settings.dotenv}" if settings.dotenv else "environment"
        yield ok("settings", f"read from {source}")


def _home(home: Path) -> Check:
    if not home.exists():
        parent = next(path for path in home.parents if path.exists())
        if os.access(parent, os.W_OK):
            return ok("home", f"{home} will be made by `kos up`")
        return red("home", f"{home} cannot be made", "set KOS_HOME to a directory of your own")
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return red("home", f"{home} is not writable", f"sudo chown -R $(id -un) '{home}'")
    secrets = home / "env"
    if secrets.exists() and secrets.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return red("home", f"{secrets} can be read by others", f"chmod 600 '{secrets}'")
    return ok("home", str(home))


def _disk(home: Path) -> Check:
    place = next(path for path in (home, *home.parents) if path.exists())
    free_bytes = shutil.disk_usage(place).free
    detail = f"{free_bytes / 1e9:.1f} GB free at {place}"
    if free_bytes < RED_DISK_BYTES:
        return red("disk", detail, "free some space, or set KOS_HOME to another disk")
    if free_bytes < LOW_DISK_BYTES:
        return warning("disk", detail, "free some space before it runs out")
    return ok("disk", detail)


def _descriptors() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < LEAST_DESCRIPTORS:
        return red("open files", f"limit {soft}", f"ulimit -n {max(4096, LEAST_DESCRIPTORS)}")
    soft_text = "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
    return ok("open files", f"limit {soft_text}" + (f" of {hard}" if hard > soft > 0 else ""))


def _file_roots(settings: Settings) -> Check:
    missing = [str(root) for root in settings.file_roots if not root.is_dir()]
    if missing:
        return warning(
            "file roots", f"no directory: {', '.join(missing)}", "correct KOS_FILE_ROOTS"
        )
    if not settings.file_roots:
        return warning(
            "file roots", "tasks may name no file", "set KOS_FILE_ROOTS to your directories"
        )
    return ok("file roots", ", ".join(str(root) for root in settings.file_roots))


def _stored_prefixes(settings: Settings) -> Iterator[Check]:
    """The folder in which our MLX server keeps beginnings of prompts, where it has one."""
    try:
        server = ServerSettings.from_environment(settings.environ)
    except ServerSettingsError as error:
        yield red("mlx server", str(error), "correct it in the environment or in .env")
        return
    folder = server.prefix_cache_dir
    if folder is None:
        return
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free_bytes = shutil.disk_usage(place).free
    detail = f"{free_bytes / 1e9:.1f} GB free at {place}"
    if not place.is_dir() or not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        remedy = "set MLX_PREFIX_CACHE_DIR to a directory of your own"
        yield red("prefixes", f"{place} is not writable", remedy)
    elif free_bytes < server.prefix_cache_dir_bytes:
        yield warning("prefixes", detail, "free some space, or lower MLX_PREFIX_CACHE_DIR_BYTES")
    else:
        yield ok("prefixes", detail)


def _embedded(settings: Settings) -> Iterator[Check]:
    try:
        account = unprivileged_account()
        if settings.embedded_postgres:
            programs = postgres_programs(account=account)
            yield ok("embedded postgres", f"version {programs.version}")
        if settings.embedded_redis:
            yield ok("embedded redis", str(redis_program(account=account)))
    except ServiceError as error:
        detail, _, remedy = str(error).partition("; ")
        yield red("embedded services", detail, remedy or "set DATABASE_URL and REDIS_URL")


def _ports(settings: Settings, *, running: bool) -> Iterator[Check]:
    for program, address in (
        ("dashboard", dashboard_address(settings)),
        ("gateway", gateway_address(settings)),
    ):
        name, port, taken = f"{program} port", address[1], accepts(address)
        if running and not taken:
            yield red(name, f"nothing answers at {port}", f"kos ctl restart watch:{program}")
        elif taken and not running:
            remedy = "`kos up` chooses another one; see `kos status`"
            yield warning(name, f"{port} is taken", remedy)
        else:
            yield ok(name, str(port))
