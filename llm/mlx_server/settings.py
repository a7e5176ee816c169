"""The settings of the MLX API server, read once from the environment."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

PREFIX = "MLX_"
TYPO_SIMILARITY = 0.9
_WORDS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


class ServerSettingsError(ValueError):
    """A variable has an unusable value; the text names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The operator's choices. Names match the variables, in lower case without ``MLX_``.

    ``max_concurrent`` bounds the requests decoded at once over all models; the rest wait, up to
    ``max_queue`` in all and ``max_queue_per_model`` for one model. ``memory_limit_bytes`` None
    means three quarters of the host's memory. ``keep_alive_seconds`` None keeps a model until it is
    evicted. ``cpu_openblas`` and ``cpu_float32`` apply where MLX computes on the CPU;
    ``cpu_threads`` 0 uses the free cores. ``watchdog_exit_seconds`` 0 never ends the process for a
    stall. ``test_freeze_file`` is for tests: generation stops while it exists.
    """

    api_port: int = 11435
    models_dir: Path = Path("~/.kos/models")
    aliases_file: Path | None = None
    max_cached_models: int = 2
    max_concurrent: int = 5
    preload_models: tuple[str, ...] = ()
    memory_limit_bytes: int | None = None
    max_queue: int = 64
    max_queue_per_model: int = 64
    retry_after_seconds: int = 2
    max_body_bytes: int = 8 * 2**20
    body_seconds: float = 30.0
    max_context_tokens: int = 131_072
    default_max_tokens: int = 2048
    prefill_step_tokens: int = 1024
    prefix_cache_bytes: int = 256 * 2**20
    prefix_min_tokens: int = 32
    prefix_cache_dir: Path | None = None
    prefix_cache_dir_bytes: int = 2 * 2**30
    keep_alive_seconds: float | None = None
    fairness_seconds: float = 15.0
    load_chunk_bytes: int = 256 * 2**20
    drain_seconds: float = 30.0
    watchdog_seconds: float = 60.0
    watchdog_exit_seconds: float = 180.0
    cpu_openblas: bool = True
    cpu_float32: bool = True
    cpu_threads: int = 0
    test_freeze_file: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ServerSettings:
        """Read ``MLX_*``. Raises ServerSettingsError naming an invalid or apparently mistyped
        variable. Other ``MLX_*`` names are ignored: MLX and clients of this server have some."""
        names = [name for name in environment if name.startswith(PREFIX)]
        values: dict[str, Any] = {}
        for name in names:
            field = name.removeprefix(PREFIX).lower()
            if field in _READERS:
                values[field] = _read(name, environment[name])
            else:
                _refuse_typo(name)
        return cls(**values)


def _refuse_typo(name: str) -> None:
    known = [PREFIX + field.upper() for field in _READERS]
    if close := difflib.get_close_matches(name, known, n=1, cutoff=TYPO_SIMILARITY):
        raise ServerSettingsError(f"{name} is not a setting; did you mean {close[0]}?")


def _read(name: str, text: str) -> object:
    reader, at_least = _READERS[name.removeprefix(PREFIX).lower()]
    try:
        value = reader(text.strip())
    except ValueError as error:
        raise ServerSettingsError(f"{name}={text!r}: {error}") from error
    if at_least is not None and isinstance(value, (int, float)) and value < at_least:
        raise ServerSettingsError(f"{name}={text!r}: must be at least {at_least}")
    return value


def _optional(reader: Callable[[str], T]) -> Callable[[str], T | None]:
    return lambda text: reader(text) if text else None


def _folder(text: str) -> Path:
    return Path(text).expanduser()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _boolean(text: str) -> bool:
    if text.lower() not in _WORDS:
        raise ValueError("write true or false")
    return _WORDS[text.lower()]


def _keep_alive(text: str) -> float | None:
    seconds = float(text)
    return seconds if seconds >= 0 else None


_READERS: dict[str, tuple[Callable[[str], object], float | None]] = {
    "api_port": (int, 0),
    "models_dir": (_folder, None),
    "aliases_file": (_optional(_folder), None),
    "max_cached_models": (int, 1),
    "max_concurrent": (int, 1),
    "preload_models": (_names, None),
    "memory_limit_bytes": (_optional(int), 1),
    "max_queue": (int, 0),
    "max_queue_per_model": (int, 0),
    "retry_after_seconds": (int, 1),
    "max_body_bytes": (int, 1024),
    "body_seconds": (float, 0.1),
    "max_context_tokens": (int, 16),
    "default_max_tokens": (int, 1),
    "prefill_step_tokens": (int, 16),
    "prefix_cache_bytes": (int, 0),
    "prefix_min_tokens": (int, 1),
    "prefix_cache_dir": (_optional(_folder), None),
    "prefix_cache_dir_bytes": (int, 2**20),
    "keep_alive_seconds": (_keep_alive, None),
    "fairness_seconds": (float, 0),
    "load_chunk_bytes": (int, 2**20),
    "drain_seconds": (float, 0),
    "watchdog_seconds": (float, 0.1),
    "watchdog_exit_seconds": (float, 0),
    "cpu_openblas": (_boolean, None),
    "cpu_float32": (_boolean, None),
    "cpu_threads": (int, 0),
    "test_freeze_file": (_optional(_folder), None),
}
