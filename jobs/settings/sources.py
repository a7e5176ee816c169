"""Where settings come from: the environment, then ``.env``, then ``KOS_HOME/env``.

``KOS_HOME/env`` is written by ``kos up`` and is meant to be sourced by a shell as well. It holds
what was chosen at the first start (ports, passwords, the supervisor's socket), so that every
command finds the running system. A shell that sourced it has the embedded services' URLs in
``DATABASE_URL`` too; those count as unset, else the next ``kos up`` would take them for services
of the person's own.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from jobs.settings.names import with_current_names

EMBEDDED = {
    "DATABASE_URL": "KOS_EMBEDDED_DATABASE_URL",
    "REDIS_URL": "KOS_EMBEDDED_REDIS_URL",
}
SIMULATED = {
    "ollama": ("OLLAMA_API_URL", "KOS_SIMULATED_OLLAMA_URL"),
    "mlx": ("MLX_API_URL", "KOS_SIMULATED_MLX_URL"),
}
ONLY_FOR_SHELLS = frozenset({*EMBEDDED, "KOS_HOME"})


class SettingsError(ValueError):
    """Some variable is wrong. ``problems`` holds one line each, with what to write instead."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Sources:
    """``explicit`` is what the person set, ``written`` what ``kos up`` chose."""

    explicit: Mapping[str, str]
    written: Mapping[str, str]

    @property
    def layered(self) -> dict[str, str]:
        chosen = {name: text for name, text in self.written.items() if name not in ONLY_FOR_SHELLS}
        return {**chosen, **self.explicit}

    @property
    def simulated(self) -> tuple[str, ...]:
        """Backends that ``kos up --demo`` replaced by simulators."""
        return tuple(name for name, (_, key) in SIMULATED.items() if self.written.get(key))

    @property
    def for_urls(self) -> dict[str, str]:
        """The variables of the model servers; a running demo's simulators win."""
        urls = {public: self.written.get(key) for public, key in SIMULATED.values()}
        return {**self.layered, **{name: text for name, text in urls.items() if text}}

    @property
    def embedded_database_url(self) -> str | None:
        return self.written.get(EMBEDDED["DATABASE_URL"])

    @property
    def embedded_redis_url(self) -> str | None:
        return self.written.get(EMBEDDED["REDIS_URL"])


def gather(environ: Mapping[str, str], *, dotenv: Path | None, default_home: Path) -> Sources:
    """Read the files and put the layers in order. An empty variable counts as unset."""
    merged = {
        **with_current_names(_read_dotenv(dotenv)),
        **with_current_names(_without_embedded(environ)),
    }
    explicit = {name: text.strip() for name, text in merged.items() if text.strip()}
    try:
        home = Path(explicit.get("KOS_HOME", default_home)).expanduser().absolute()
        written = with_current_names(read_home_env(home))
    except (ValueError, RuntimeError) as error:
        if isinstance(error, SettingsError):
            raise
        problem = f"KOS_HOME={explicit['KOS_HOME'][:60]!r} is not a path ({error}); write another"
        raise SettingsError((problem,)) from None
    return Sources(explicit=explicit, written=written)


def read_home_env(home: Path) -> dict[str, str]:
    """The pairs of ``KOS_HOME/env``, {} when it was never written. Lines: ``export A='b'``."""
    try:
        text = (home / "env").read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (PermissionError, UnicodeDecodeError) as error:
        raise SettingsError(
            (f"{home / 'env'} cannot be read ({error}); run as its owner",)
        ) from None
    try:
        words = shlex.split(text, comments=True)
    except ValueError as error:
        problem = f"{home / 'env'} is damaged ({error}); mend the line or remove the file"
        raise SettingsError((problem,)) from None
    pairs = {}
    for word in words:
        name, separator, value = word.partition("=")
        if separator:
            pairs[name] = value
    return pairs


def find_dotenv(environ: Mapping[str, str], *, project: Path) -> Path | None:
    named = environ.get("KOS_DOTENV")
    if named:
        return Path(named).expanduser().absolute()
    candidates = (Path.cwd() / ".env", project / ".env")
    return next((path for path in candidates if path.is_file()), None)


def _read_dotenv(dotenv: Path | None) -> dict[str, str]:
    if dotenv is None:
        return {}
    try:
        with dotenv.open(encoding="utf-8") as file:
            values = dotenv_values(stream=file, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        problem = f"{dotenv} cannot be read ({reason}); mend it or name another in KOS_DOTENV"
        raise SettingsError((problem,)) from None
    return {name: text for name, text in values.items() if text is not None}


def _without_embedded(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name: text
        for name, text in environ.items()
        if not (name in EMBEDDED and text == environ.get(EMBEDDED[name]))
    }
