"""Every setting with its value and its source; secrets are masked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jobs.settings.load import SECRET_FILES, Settings
from jobs.settings.names import with_current_names
from jobs.settings.sources import (
    EMBEDDED,
    ONLY_FOR_SHELLS,
    OWN,
    OWN_MLX,
    SIMULATED,
    read_dotenv,
    read_home_env,
    without_exported,
)

MASK = "***"
DEFAULT = "default"
ENVIRONMENT = "environment"
SERVER_URLS = {"ollama": ("OLLAMA_API_URL", "OLLAMA_BASE_URL"), "mlx": ("MLX_API_URL",)}
CHOSEN_AT_START = {
    **{name: (twin, OWN[name]) for name, twin in EMBEDDED.items()},
    "KOS_DATABASE_DIRECT_URL": (OWN["KOS_DATABASE_DIRECT_URL"],),
    "MLX_API_URL": (SIMULATED["mlx"][1], OWN_MLX),
    "OLLAMA_API_URL": (SIMULATED["ollama"][1],),
    "KOS_MLX_SERVER": (OWN_MLX,),
}
"""Names under which ``kos up`` stores its choice for a setting in ``KOS_HOME/env``."""


@dataclass(frozen=True, slots=True)
class ConfiguredSetting:
    """One setting. ``source`` is ``environment``, a file's path, or ``default``."""

    name: str
    value: Any
    source: str
    is_default: bool


def entries(settings: Settings, environ: Mapping[str, str]) -> list[ConfiguredSetting]:
    """Every setting by name, as a program started with ``environ`` has it."""
    source_of = _Sources(settings, environ)
    found = [
        ConfiguredSetting(
            name := item.metadata["env"],
            _value(getattr(settings, item.name), is_secret=not item.repr),
            source_of(name),
            getattr(settings, item.name) == _default(item),
        )
        for item in fields(settings)
        if "env" in item.metadata
    ]
    for backend, names in SERVER_URLS.items():
        spec = settings.backend(backend)
        sources = [source_of(name) for name in names]
        source = next((one for one in sources if one != DEFAULT), DEFAULT)
        value = spec.url if spec else "disabled"
        found.append(ConfiguredSetting(names[0], value, source, source == DEFAULT))
    return sorted(found, key=lambda entry: entry.name)


class _Sources:
    """Where the value of a name comes from; the first source that has it wins."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._layers = (
            (ENVIRONMENT, with_current_names(without_exported(environ)), ()),
            (str(settings.dotenv), with_current_names(read_dotenv(settings.dotenv)), ()),
            (str(settings.home / "env"), read_home_env(settings.home), ONLY_FOR_SHELLS),
        )

    def __call__(self, name: str) -> str:
        for source, pairs, hidden in self._layers:
            of_file = (SECRET_FILES[name],) if name in SECRET_FILES else ()
            names = (
                *((name,) if name not in hidden else ()),
                *of_file,
                *CHOSEN_AT_START.get(name, ()),
            )
            if any(pairs.get(one, "").strip() for one in names):
                return source
        return DEFAULT


def _default(item: Any) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


def _value(value: Any, *, is_secret: bool) -> Any:
    if isinstance(value, tuple):
        return [_value(one, is_secret=is_secret) for one in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str) and "://" in value:
        return _without_password(value)
    return MASK if is_secret and value is not None else value


def _without_password(url: str) -> str:
    """``url`` with the password and the query masked; a query may hold a password too."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    netloc = f"{name}{colon}{MASK if colon else ''}{at}{host}"
    query = MASK if parts.query else ""
    return parts._replace(netloc=netloc, query=query).geturl()
