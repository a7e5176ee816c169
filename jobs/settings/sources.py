"""The sources of settings: the environment, then ``.env``, then ``KOS_HOME/env``.

``kos up`` writes ``KOS_HOME/env``, which a shell may source. It holds what was chosen at the first
start (ports, passwords, the supervisor's socket), so that every command finds the running system,
and the user's own services on which the home runs.

Each URL is written twice, as ``DATABASE_URL`` and under a name of ours. A shell that sourced the
file exports both, and a URL equal to its copy counts as unset. So the file alone decides what a
home runs on, and a shell that sourced one home's file never affects another home.
"""

from __future__ import annotations

import glob
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
OWN = {
    "DATABASE_URL": "KOS_OWN_DATABASE_URL",
    "REDIS_URL": "KOS_OWN_REDIS_URL",
    "KOS_DATABASE_DIRECT_URL": "KOS_OWN_DATABASE_DIRECT_URL",
}
OWN_SERVERS = {
    "OLLAMA_API_URL": "KOS_OWN_OLLAMA_API_URL",
    "MLX_API_URL": "KOS_OWN_MLX_API_URL",
    "KOS_BACKENDS_FILE": "KOS_OWN_BACKENDS_FILE",
}
"""The model servers that a shell exported at the last ``kos up``. Other shells use them too."""
EXPORTED = frozenset(
    {
        *EMBEDDED,
        *EMBEDDED.values(),
        *OWN.values(),
        "KOS_HOME",
        "KOS_HOME_GLOB",
        "KOS_SUPERVISOR_SOCKET",
        "KOS_PYTHON",
        "KOS_PROJECT",
        "KOS_AUTOSTART",
        "KOS_STOP_WAIT_SECONDS",
    }
)
"""What a shell exports that sources the file; the other lines are not exported."""
SIMULATED = {
    "ollama": ("OLLAMA_API_URL", "KOS_SIMULATED_OLLAMA_URL"),
    "mlx": ("MLX_API_URL", "KOS_SIMULATED_MLX_URL"),
}
LEFT_OUT = "disabled"
"""Written in place of a simulator's URL: the demo runs without that backend."""
OWN_MLX = "KOS_OWN_MLX_URL"
"""The URL at which ``kos up`` runs our MLX API server, if it has a model and no other server
answers."""
ONLY_FOR_SHELLS = frozenset({*EMBEDDED, "KOS_HOME"})


class SettingsError(ValueError):
    """One or more invalid variables. ``problems`` has one line each, with what to write instead."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Sources:
    """``explicit`` is what the user set, ``written`` what ``kos up`` chose."""

    explicit: Mapping[str, str]
    written: Mapping[str, str]

    @property
    def layered(self) -> dict[str, str]:
        chosen = {name: text for name, text in self.written.items() if name not in ONLY_FOR_SHELLS}
        twins = {**OWN, **OWN_SERVERS}
        own = {name: self.written[twin] for name, twin in twins.items() if self.written.get(twin)}
        if self.explicit.get("DATABASE_URL", own.get("DATABASE_URL")) != own.get("DATABASE_URL"):
            own.pop("KOS_DATABASE_DIRECT_URL", None)  # Belongs to another database.
        if "OLLAMA_BASE_URL" in self.explicit:
            own.pop("OLLAMA_API_URL", None)  # Which would win over it.
        return {**chosen, **own, **self.explicit}

    def is_embedded(self, name: str) -> bool:
        """Whether a service is embedded: the user has not named one, and the home remembers
        none."""
        return name not in self.explicit and not self.written.get(OWN[name])

    @property
    def simulated(self) -> tuple[str, ...]:
        """Backends that ``kos up --demo`` replaced by simulators."""
        urls = {name: self.written.get(key) for name, (_, key) in SIMULATED.items()}
        return tuple(name for name, url in urls.items() if url and url != LEFT_OUT)

    @property
    def own_mlx_server(self) -> bool:
        """Whether ``kos up`` decided to run our MLX API server."""
        return bool(self.written.get(OWN_MLX))

    @property
    def for_urls(self) -> dict[str, str]:
        """The variables of the model servers; servers that ``kos up`` runs win."""
        urls = {public: self.written.get(key) for public, key in SIMULATED.values()}
        chosen = {"MLX_API_URL": self.written.get(OWN_MLX), **_set(urls)}
        return {**self.layered, **_set(chosen)}


def _set(pairs: Mapping[str, str | None]) -> dict[str, str]:
    return {name: text for name, text in pairs.items() if text}


def gather(
    environ: Mapping[str, str],
    *,
    dotenv: Path | None,
    default_home: Path,
    secret_files: Mapping[str, str],
) -> Sources:
    """Read the files and order the layers. An empty variable counts as unset.

    ``secret_files``: secret -> the variable that may name a file containing it.
    """
    merged = {
        **with_current_names(read_dotenv(dotenv)),
        **with_current_names(without_exported(environ)),
    }
    explicit = {name: text.strip() for name, text in merged.items() if text.strip()}
    explicit = _from_files(explicit, secret_files)
    return Sources(explicit=explicit, written=_written(explicit.get("KOS_HOME", ""), default_home))


def _from_files(explicit: Mapping[str, str], secret_files: Mapping[str, str]) -> dict[str, str]:
    """Add each secret that is in a file, as containers provide them; a directly set secret wins."""
    found = dict(explicit)
    for name, variable in secret_files.items():
        file = explicit.get(variable)
        if file is None or name in explicit:
            continue
        try:
            text = Path(file).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise SettingsError((f"{variable}={file[:60]!r} cannot be read ({reason})",)) from None
        if text:
            found[name] = text
    return found


def _written(home: str, default_home: Path) -> dict[str, str]:
    """The variables written in the home that ``KOS_HOME`` names ("": ``default_home``)."""
    try:
        path = Path(home.strip() or default_home).expanduser().absolute()
        return with_current_names(read_home_env(path))
    except (ValueError, RuntimeError) as error:
        if isinstance(error, SettingsError):
            raise
        problem = f"KOS_HOME={home[:60]!r} is not a path ({error}); write another"
        raise SettingsError((problem,)) from None


def read_home_env(home: Path) -> dict[str, str]:
    """The variables of ``KOS_HOME/env``, {} if it was never written. Lines: ``export A='b'``."""
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


def find_dotenv(environ: Mapping[str, str], *, project: Path, default_home: Path) -> Path | None:
    """The ``.env`` of this call; the one that the home remembers is the last choice."""
    named = environ.get("KOS_DOTENV")
    if named:
        return Path(named).expanduser().absolute()
    home = Path(environ.get("KOS_HOME", "").strip() or default_home).expanduser().absolute()
    remembered = read_home_env(home).get("KOS_DOTENV")
    candidates = (
        Path.cwd() / ".env",
        project / ".env",
        *([Path(remembered)] if remembered else []),
    )
    return next((path for path in candidates if path.is_file()), None)


def read_dotenv(dotenv: Path | None) -> dict[str, str]:
    """The variables of a ``.env`` file, {} for None. Raises SettingsError."""
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


def home_glob(home: Path) -> str:
    """``home`` for supervisor's include line: escaped, and with ``?`` for white space."""
    return glob.escape(str(home)).replace(" ", "?")


def without_exported(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` without URLs from a sourced ``env`` file, or anything from another home's."""
    kept = {
        name: text
        for name, text in environ.items()
        if not (name in EMBEDDED and text in {environ.get(EMBEDDED[name]), environ.get(OWN[name])})
    }
    loaded, home = environ.get("KOS_HOME_GLOB"), environ.get("KOS_HOME")
    if not loaded or not home or loaded == home_glob(Path(home).expanduser().absolute()):
        return kept
    foreign = EXPORTED - {"KOS_HOME", *EMBEDDED}
    return {name: text for name, text in kept.items() if name not in foreign}
