"""Which settings changed since the programs started, and which programs that concerns.

Programs read ``.env`` and ``KOS_HOME/env`` when they start, so a restart applies what changed
there. The latter holds the model servers that a shell exported; what else it exported reached them
through supervisord and needs a new supervisord.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from console.home import write_private
from jobs.settings.load import SETTING_NAMES, Settings
from jobs.settings.names import OTHER_PROGRAMS_NAMES, OUR_PREFIXES
from jobs.settings.sources import EMBEDDED, EXPORTED, OWN_SERVERS, read_dotenv, without_exported

CONTENTS = " (contents)"
FILES = ("KOS_BACKENDS_FILE", "KOS_CATALOG_FILE")
EVERY_PROGRAM = ("jobs:*", "watch:*")
CONCERNS = (
    ("KOS_DASHBOARD_", ("watch:dashboard",)),
    ("KOS_HEALTH_PORT", ("watch:health",)),
    ("KOS_SIMULATOR_", ("servers:*",)),
    ("MLX_", ("servers:*", *EVERY_PROGRAM)),
)
UNCONCERNED = frozenset(
    {"KOS_EXPERTS_FILE", "KOS_DOTENV", "KOS_WORKER_FILE_ROOTS", *EXPORTED, *OWN_SERVERS.values()}
)


@dataclass(frozen=True, slots=True)
class Changes:
    """Names of settings. ``applied`` need a restart of ``programs``; ``waiting`` a new start."""

    applied: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """What the running programs were started with: hashes by name, no value is kept."""

    exported: Mapping[str, str]
    settings: Mapping[str, str]


def since(before: Applied, now: Applied) -> Changes:
    """What differs. Pure."""
    waiting = _differing(before.exported, now.exported)
    applied = tuple(
        name
        for name in _differing(before.settings, now.settings)
        if name.removesuffix(CONTENTS) not in waiting and name not in before.exported
    )
    programs = dict.fromkeys(program for name in applied for program in _concerned(name))
    return Changes(applied, tuple(programs), waiting)


def present(settings: Settings, environ: Mapping[str, str]) -> Applied:
    """What programs that start now would get from ``environ`` and the files."""
    in_dotenv = read_dotenv(settings.dotenv)
    values = {
        name: text
        for name, text in settings.environ.items()
        if (_is_ours(name) or name in in_dotenv) and name not in UNCONCERNED
    }
    values |= {f"{name}{CONTENTS}": _contents(values[name]) for name in FILES if name in values}
    services = settings.database_url or "", settings.redis_url or ""
    values |= dict(zip(EMBEDDED, services, strict=True))
    exported = {
        name: text
        for name, text in without_exported(environ).items()
        if _is_ours(name) and name not in {*UNCONCERNED, *OWN_SERVERS} and text.strip()
    }
    exported |= {"KOS_DOTENV": str(settings.dotenv)} if settings.dotenv else {}
    return Applied(_hashed(exported), _hashed(values))


def recall(home: Path) -> Applied | None:
    """What the running programs got, None where that is not on record."""
    try:
        document = json.loads(_record(home).read_text(encoding="utf-8"))
        return Applied(dict(document["exported"]), dict(document["settings"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(home: Path, applied: Applied) -> None:
    document = {"exported": dict(applied.exported), "settings": dict(applied.settings)}
    write_private(_record(home), json.dumps(document))


def _record(home: Path) -> Path:
    return home / "run" / "applied.json"


def _differing(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in {*before, *now} if before.get(name) != now.get(name)))


def _is_ours(name: str) -> bool:
    return name.startswith(OUR_PREFIXES) or name in SETTING_NAMES or name in OTHER_PROGRAMS_NAMES


def _concerned(name: str) -> Iterable[str]:
    return next((found for start, found in CONCERNS if name.startswith(start)), EVERY_PROGRAM)


def _contents(path: str) -> str:
    try:
        return Path(path).expanduser().read_bytes().hex()
    except OSError:
        return ""


def _hashed(values: Mapping[str, str]) -> dict[str, str]:
    return {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in values.items()}
