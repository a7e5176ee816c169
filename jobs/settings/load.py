"""All settings of a deployment, read once from the environment and validated.

``load`` is pure except for the files that settings name; programs call ``from_environment``. An
earlier source wins over a later one: the environment, then ``.env``, then ``KOS_HOME/env``, which
``kos up`` writes.
"""

# Each default is a dataclass field that carries the name and the parser of its variable.
# ruff: noqa: RUF009
from __future__ import annotations

import os
import secrets
import site
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from jobs.policy import webhooks
from jobs.policy.knowledge_os import Compat, Exhausted
from jobs.policy.types import PolicyName
from jobs.settings import fields as of
from jobs.settings.backends import configured_backends
from jobs.settings.fields import secret, setting
from jobs.settings.names import name_in_message, unknown_names
from jobs.settings.role import Role
from jobs.settings.sources import (
    EMBEDDED,
    SettingsError,
    Sources,
    find_dotenv,
    gather,
)
from llm import urls
from llm.catalog import CatalogError, load_catalog
from llm.types import BackendKind, BackendSpec

__all__ = ["SETTING_NAMES", "Settings", "SettingsError", "from_environment", "load", "shipped"]

PROJECT = Path(__file__).resolve().parents[2]
SHARE = Path("share", "knowledge-os-jobs")


def shipped(name: str) -> Path:
    """A file that is distributed with the code: from the checkout, or from where its wheel was
    installed.

    A wheel puts such files below ``share`` of the environment, of the user, or of a ``--target``.
    """
    bases = Path(sysconfig.get_path("data")), Path(site.getuserbase()), PROJECT
    places = (PROJECT, *(base / SHARE for base in bases))
    return next((place / name for place in places if (place / name).exists()), PROJECT / name)


def default_home() -> Path:
    """``.kos`` beside ``setup.cfg`` in a checkout, else ``~/.kos``."""
    if (PROJECT / "setup.cfg").is_file():
        return PROJECT / ".kos"
    return Path.home() / ".kos"


def default_file_roots() -> tuple[Path, ...]:
    """Empty, which denies all files, except for the examples."""
    examples = shipped("examples")
    return (examples,) if examples.is_dir() else ()


def _log_format(text: str) -> str:
    if text.lower() not in {"console", "json"}:
        raise ValueError("is not known; write console or json")
    return text.lower()


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one deployment. Durations in seconds unless the name says minutes or days.

    ``environ`` holds every variable of the sources, for names outside the settings, such as API
    keys.
    """

    database_url: str | None = secret("DATABASE_URL", of.database_url)
    database_direct_url: str | None = secret("KOS_DATABASE_DIRECT_URL", of.database_url)
    redis_url: str | None = secret("REDIS_URL", of.redis_url)
    home: Path = setting("KOS_HOME", of.path, factory=default_home)

    batch_size: int = setting("SMART_WORKER_BATCH_SIZE", of.integer(1, 100_000), 50)
    max_concurrent: int = setting("SMART_WORKER_MAX_CONCURRENT", of.integer(1, 1000), 10)
    stuck_minutes: float = setting("SMART_WORKER_STUCK_MINUTES", of.number(0.01, 100_000), 15.0)
    llm_timeout_seconds: float = setting("SMART_WORKER_LLM_TIMEOUT", of.number(1, 86_400), 300.0)
    heavy_model_timeout_multiplier: float = setting(
        "SMART_WORKER_HEAVY_MODEL_TIMEOUT_MULTIPLIER", of.number(1, 100), 1.5
    )
    batch_by_model: bool = setting("SMART_WORKER_BATCH_BY_MODEL", of.boolean, True)
    interleave_blocks: bool = setting("SMART_WORKER_INTERLEAVE_BLOCKS", of.boolean, True)
    heavy_light_pairing: bool = setting("SMART_WORKER_HEAVY_LIGHT_PAIRING", of.boolean, True)
    adaptive_concurrency: bool = setting("SMART_WORKER_ADAPTIVE_CONCURRENCY", of.boolean, False)
    retry_delay_seconds: float = setting("SMART_WORKER_RETRY_DELAY_SEC", of.number(0, 86_400), 90.0)

    adaptive_host_ram_threshold: float = setting("ADAPTIVE_HOST_RAM_THRESHOLD", of.fraction, 0.85)
    adaptive_host_cpu_threshold: float = setting("ADAPTIVE_HOST_CPU_THRESHOLD", of.fraction, 0.85)
    adaptive_ram_critical: float = setting("ADAPTIVE_RAM_CRITICAL", of.fraction, 0.90)
    adaptive_max_heavy_mlx: int = setting("ADAPTIVE_MAX_HEAVY_MLX", of.integer(1, 1000), 2)
    adaptive_max_heavy_ollama: int = setting("ADAPTIVE_MAX_HEAVY_OLLAMA", of.integer(1, 1000), 2)
    adaptive_calc_interval_seconds: float = setting(
        "ADAPTIVE_CALC_INTERVAL_SEC", of.number(0.1, 3600), 15.0
    )
    adaptive_ollama_max: int = setting("ADAPTIVE_OLLAMA_MAX", of.integer(1, 1000), 10)
    adaptive_mlx_safe_max: int = setting("ADAPTIVE_MLX_SAFE_MAX", of.integer(1, 1000), 2)

    model_load_buffer_seconds: float = setting("MODEL_LOAD_BUFFER_SEC", of.number(0, 3600), 60.0)
    mlx_api_port: int = setting("MLX_API_PORT", of.integer(1, 65_535), 11_435)
    mlx_models_dir: Path | None = setting("MLX_MODELS_DIR", of.path)
    mlx_max_cached_models: int = setting("MLX_MAX_CACHED_MODELS", of.integer(1, 100), 2)
    mlx_max_concurrent: int = setting("MLX_MAX_CONCURRENT", of.integer(1, 1000), 5)
    mlx_preload_models: tuple[str, ...] = setting("MLX_PRELOAD_MODELS", of.names, ())
    ollama_keep_alive: str | int | None = setting("OLLAMA_KEEP_ALIVE", of.keep_alive)
    victoria_url: str | None = setting("VICTORIA_URL", of.optional_http_url)
    veronica_url: str | None = setting("VERONICA_URL", of.optional_http_url)

    policy: PolicyName = setting("KOS_POLICY", of.one_of(PolicyName), PolicyName.RELOAD_AWARE)
    lease_seconds: float = setting("KOS_LEASE_SECONDS", of.number(1, 86_400), 60.0)
    heartbeat_seconds: float = setting("KOS_HEARTBEAT_SECONDS", of.number(0.1, 3600), 15.0)
    max_attempts: int = setting("KOS_MAX_ATTEMPTS", of.integer(1, 100), 3)
    compat: Compat = setting("KOS_COMPAT", of.one_of(Compat), Compat.OFF)
    exhausted: Exhausted = setting("KOS_EXHAUSTED", of.one_of(Exhausted), Exhausted.FAILED)
    max_crashes: int = setting("KOS_MAX_CRASHES", of.integer(1, 100), 3)
    worker_threads: int = setting("KOS_WORKER_THREADS", of.integer(1, 1000), 16)
    dispatch_ahead: int = setting("KOS_DISPATCH_AHEAD", of.integer(0, 1000), 2)
    plan_window: int = setting("KOS_PLAN_WINDOW", of.integer(1, 1_000_000), 2000)
    fairness_seconds: float = setting("KOS_FAIRNESS_SECONDS", of.number(0.1, 86_400), 900.0)
    scan_cache_seconds: float = setting("KOS_SCAN_CACHE_SECONDS", of.number(0, 86_400), 120.0)
    drain_seconds: float = setting("KOS_DRAIN_SECONDS", of.number(0.1, 86_400), 20.0)
    file_roots: tuple[Path, ...] = setting("KOS_FILE_ROOTS", of.paths, factory=default_file_roots)
    worker_file_roots: tuple[Path, ...] | None = setting("KOS_WORKER_FILE_ROOTS", of.paths)
    backends_file: Path | None = setting("KOS_BACKENDS_FILE", of.path)
    experts_file: Path | None = setting("KOS_EXPERTS_FILE", of.path)
    catalog_file: Path | None = setting("KOS_CATALOG_FILE", of.path)

    dashboard_host: str = setting("KOS_DASHBOARD_HOST", of.plain, "127.0.0.1")
    dashboard_port: int = setting("KOS_DASHBOARD_PORT", of.integer(1, 65_535), 11_480)
    dashboard_token: str | None = secret("KOS_DASHBOARD_TOKEN", of.plain)
    dashboard_read_only: bool = setting("KOS_DASHBOARD_READ_ONLY", of.boolean, False)
    dashboard_allowed_hosts: tuple[str, ...] = setting("KOS_DASHBOARD_ALLOWED_HOSTS", of.names, ())
    gateway_host: str = setting("KOS_GATEWAY_HOST", of.plain, "127.0.0.1")
    gateway_port: int = setting("KOS_GATEWAY_PORT", of.integer(1, 65_535), 11_482)
    gateway_token: str | None = secret("KOS_GATEWAY_TOKEN", of.plain)
    gateway_allowed_hosts: tuple[str, ...] = setting("KOS_GATEWAY_ALLOWED_HOSTS", of.names, ())
    gateway_log_texts: bool = setting("KOS_GATEWAY_LOG_TEXTS", of.boolean, False)
    body_seconds: float = setting("KOS_BODY_SECONDS", of.number(0.1, 3600), 60.0)
    interactive_reserved: int = setting("KOS_INTERACTIVE_RESERVED", of.integer(0, 100), 1)
    interactive_patience_seconds: float = setting(
        "KOS_INTERACTIVE_PATIENCE_SECONDS", of.number(0, 3600), 10.0
    )
    interactive_keep_seconds: float = setting(
        "KOS_INTERACTIVE_KEEP_SECONDS", of.number(0, 86_400), 600.0
    )
    dashboard_proxies: tuple[str, ...] = setting("KOS_DASHBOARD_PROXIES", of.names, ())
    health_port: int = setting("KOS_HEALTH_PORT", of.integer(1, 65_535), 11_481)
    health_interval_seconds: float = setting(
        "KOS_HEALTH_INTERVAL_SECONDS", of.number(0.1, 3600), 10.0
    )
    webhook_url: str | None = secret("KOS_WEBHOOK_URL", of.http_url)
    webhook_secret: str | None = secret("KOS_WEBHOOK_SECRET", of.webhook_secret)
    webhook_events: tuple[str, ...] = setting("KOS_WEBHOOK_EVENTS", of.events, webhooks.BY_DEFAULT)
    webhook_networks: tuple[webhooks.Network, ...] = setting(
        "KOS_WEBHOOK_NETWORKS", of.networks, ()
    )
    notify_command: str | None = setting("KOS_NOTIFY_COMMAND", of.plain)
    notify_events: tuple[str, ...] = setting("KOS_NOTIFY_EVENTS", of.events, webhooks.BY_DEFAULT)
    otel_endpoint: str | None = setting("OTEL_EXPORTER_OTLP_ENDPOINT", of.optional_http_url)
    supervisor_socket: Path | None = setting("KOS_SUPERVISOR_SOCKET", of.path)
    role: Role = setting("KOS_ROLE", of.one_of(Role), Role.ALL)
    simulator_speed: float = setting("KOS_SIMULATOR_SPEED", of.number(0.01, 10_000), 10.0)
    run_mlx_server: bool = setting("KOS_MLX_SERVER", of.boolean, False)

    attempts_keep_days: float = setting("KOS_ATTEMPTS_KEEP_DAYS", of.number(0, 36_500), 30.0)
    decisions_keep_days: float = setting("KOS_DECISIONS_KEEP_DAYS", of.number(0, 36_500), 14.0)
    blocks_keep_days: float = setting("KOS_BLOCKS_KEEP_DAYS", of.number(0, 36_500), 30.0)
    requests_keep_days: float = setting("KOS_REQUESTS_KEEP_DAYS", of.number(0, 36_500), 30.0)
    tasks_keep_days: float = setting("KOS_TASKS_KEEP_DAYS", of.number(0, 36_500), 0.0)
    dead_letters_keep_days: float = setting("KOS_DEAD_LETTERS_KEEP_DAYS", of.number(0, 36_500), 7.0)
    logs_keep_days: float = setting("KOS_LOGS_KEEP_DAYS", of.number(0, 36_500), 14.0)
    backup_dir: Path | None = setting("KOS_BACKUP_DIR", of.path)
    backup_keep: int = setting("KOS_BACKUP_KEEP", of.integer(1, 10_000), 7)
    log_format: Literal["console", "json"] = setting("KOS_LOG_FORMAT", _log_format, "console")

    backends: tuple[BackendSpec, ...] = ()
    embedded_postgres: bool = False
    embedded_redis: bool = False
    simulated: tuple[str, ...] = ()
    own_mlx_server: bool = False
    dotenv: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def database_pool_size(self) -> int:
        """Connections that a process may hold: one per task, and some for heartbeats."""
        return max(15, self.max_concurrent + 8)

    @property
    def roots_for_submitting(self) -> tuple[Path, ...]:
        """Where files of new tasks may be: the roots with which the running workers were
        started."""
        return self.file_roots if self.worker_file_roots is None else self.worker_file_roots

    @property
    def upload_directory(self) -> Path:
        """Files that were uploaded with a task; workers read them like those of the file roots."""
        return self.home / "uploads"

    @property
    def log_directory(self) -> Path:
        return self.home / "log"

    @property
    def heavy_limits(self) -> dict[BackendKind, int]:
        """Heavy models at once by the kind of server; other kinds have no limit of their own."""
        return {
            BackendKind.MLX: self.adaptive_max_heavy_mlx,
            BackendKind.OLLAMA: self.adaptive_max_heavy_ollama,
        }

    @property
    def kind_limits(self) -> dict[BackendKind, int]:
        """Requests at once by the kind of server; other kinds have no limit of their own."""
        return {BackendKind.OLLAMA: self.adaptive_ollama_max}

    def backend(self, name: str) -> BackendSpec | None:
        return next((spec for spec in self.backends if spec.name == name), None)


def from_environment(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the process environment and ``.env``; every program calls this once.

    The ``.env`` is the one that ``KOS_DOTENV`` names, else that of the current directory, of the
    checkout, or the one with which the home was last started. Raises SettingsError.
    """
    environ = os.environ if environ is None else environ
    found = find_dotenv(environ, project=PROJECT, default_home=default_home())
    return load(environ, dotenv=found)


def load(
    environ: Mapping[str, str], *, dotenv: Path | None = None, in_container: bool | None = None
) -> Settings:
    """Read every setting. Raises one SettingsError that lists all problems.

    Unknown variables with our prefixes become ``warnings``, never an error.
    """
    sources = gather(environ, dotenv=dotenv, default_home=default_home(), secret_files=SECRET_FILES)
    values, problems = _parse_all(sources)
    settings = Settings(
        **_with_embedded(values, sources),
        simulated=sources.simulated,
        own_mlx_server=sources.own_mlx_server,
        dotenv=dotenv,
        environ=sources.layered,
        warnings=unknown_names(sources.explicit, {*SETTING_NAMES, *SECRET_FILES.values()}),
    )
    problems += _contradictions(settings)
    if problems:
        raise SettingsError(tuple(problems))
    return _with_backends(settings, sources, in_container=in_container)


def _parse_all(sources: Sources) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    problems: list[str] = []
    for item in _SETTING_FIELDS:
        name = item.metadata["env"]
        text = sources.layered.get(name)
        if text is None:
            continue
        try:
            values[item.name] = item.metadata["parse"](text)
        except ValueError as error:
            value_text = "" if not item.repr else f"={text[:60]!r}"
            problems.append(f"{name_in_message(name)}{value_text} {error}")
    if "lease_seconds" in values:
        values.setdefault("heartbeat_seconds", values["lease_seconds"] / 4)
    return values, problems


def _with_embedded(values: dict[str, Any], sources: Sources) -> dict[str, Any]:
    """Use the embedded service wherever the user has named none and the home remembers none."""
    embedded = {name: sources.is_embedded(name) for name in EMBEDDED}
    urls = {
        name.lower(): sources.written.get(twin) for name, twin in EMBEDDED.items() if embedded[name]
    }
    flags = {
        "embedded_postgres": embedded["DATABASE_URL"],
        "embedded_redis": embedded["REDIS_URL"],
    }
    own = {"run_mlx_server": True} if sources.own_mlx_server else {}
    return values | urls | flags | own


def _contradictions(settings: Settings) -> list[str]:
    problems = []
    if settings.heartbeat_seconds > settings.lease_seconds / 2:
        problems.append(
            f"KOS_HEARTBEAT_SECONDS={settings.heartbeat_seconds:g} is too slow for a lease of "
            f"{settings.lease_seconds:g} s; write at most {settings.lease_seconds / 2:g}"
        )
    if settings.adaptive_ram_critical < settings.adaptive_host_ram_threshold:
        problems.append(
            f"ADAPTIVE_RAM_CRITICAL={settings.adaptive_ram_critical:g} is below "
            f"ADAPTIVE_HOST_RAM_THRESHOLD={settings.adaptive_host_ram_threshold:g}; "
            "write a fraction that is at least as large"
        )
    if settings.database_direct_url and settings.embedded_postgres:
        problems.append(
            "KOS_DATABASE_DIRECT_URL names a Postgres that DATABASE_URL does not; set both or none"
        )
    if settings.webhook_url and not settings.webhook_secret:
        problems.append(
            "KOS_WEBHOOK_URL needs KOS_WEBHOOK_SECRET: write one such as "
            f"{webhooks.secret_of(secrets.token_bytes(24))}"
        )
    return problems + _catalog_problems(settings.catalog_file)


def _catalog_problems(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        load_catalog(file)
    except CatalogError as error:
        return [f"KOS_CATALOG_FILE: {error}"]
    return []


def _with_backends(settings: Settings, sources: Sources, *, in_container: bool | None) -> Settings:
    container = urls.in_container() if in_container is None else in_container
    backends, problems = configured_backends(
        sources.for_urls,
        in_container=container,
        limits={
            "ollama": settings.max_concurrent,
            "mlx": min(settings.mlx_max_concurrent, settings.max_concurrent),
        },
        mlx_resident=settings.mlx_max_cached_models,
        file=settings.backends_file,
    )
    if problems:
        raise SettingsError(tuple(problems))
    return replace(settings, backends=backends)


_SETTING_FIELDS = tuple(item for item in fields(Settings) if "env" in item.metadata)
SECRET_FILES = {
    name: f"{name}_FILE" for name in (i.metadata["env"] for i in _SETTING_FIELDS if not i.repr)
}
"""Secret -> the variable that may name a file containing it."""
SETTING_NAMES = frozenset(item.metadata["env"] for item in _SETTING_FIELDS)
