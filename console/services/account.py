"""The account that a database runs as, and file locations that this account can reach.

Postgres refuses to run as root, and Redis should not. The other account cannot enter root's
directories, so binaries and data go where it can; permissions of home directories stay.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from console.services import identity
from console.services.errors import ServiceError
from jobs.settings import home_identity

SHARED_STATE = Path(
    "/usr/local/var/knowledge-os-jobs" if sys.platform == "darwin" else "/var/lib/knowledge-os-jobs"
)
CANDIDATES = ("postgres", "_postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged account of this machine."""

    name: str
    uid: int
    gid: int

    def become(self) -> None:
        """Give up root for good; called right before exec."""
        os.setgroups([])
        os.setgid(self.gid)
        os.setuid(self.uid)

    def can(self, test: str, path: Path) -> bool:
        """Ask the kernel, as that account: ``test`` is a flag of test(1) such as ``-x``."""
        command = ["/bin/sh", "-c", 'test "$1" "$2"', "sh", test, str(path)]
        done = subprocess.run(
            command, user=self.uid, group=self.gid, extra_groups=[], cwd="/", check=False
        )
        return done.returncode == 0


def unprivileged_account() -> Account | None:
    """The account to drop to, None where we are not root and need none."""
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise ServiceError(
        "root may not run Postgres and none of the accounts "
        f"{', '.join(CANDIDATES)} exists; run as an ordinary user"
    )


def data_directory(
    home: Path, name: str, *, account: Account | None, shared: Path = SHARED_STATE
) -> Path:
    """``home/name``, owned by ``account``; moved to a shared place where home is closed to it.

    The place is remembered as a symbolic link ``home/name`` and marked with the home's identity:
    one that is marked with another's stays as it is, and this home begins an empty one.
    """
    wanted = home / name
    if wanted.is_symlink() and not identity.belongs(wanted.resolve(), home):
        print(f"{wanted.resolve()} belongs to another home and is left there", file=sys.stderr)
        wanted.unlink()
    outside = wanted.is_symlink()
    if outside:
        wanted = wanted.resolve()
    elif account is not None and home.is_dir() and not account.can("-x", home):
        wanted, outside = _outside(home, name, shared=shared), True
    _make_private(wanted, account=account)
    if outside:
        identity.mark(wanted, home)
    return wanted


def readable_root(
    root: Path,
    parts: tuple[str, ...],
    *,
    probe: str,
    account: Account | None,
    shared: Path = SHARED_STATE,
) -> Path:
    """``root`` itself where ``account`` can execute ``root/probe``.

    Else a directory where it can, holding copies of those ``parts`` of ``root`` that exist.
    """
    if account is None or account.can("-x", root / probe):
        return root
    stamp = (root / probe).stat()
    key = hashlib.sha256(f"{root}|{probe}|{stamp.st_size}|{stamp.st_mtime_ns}".encode())
    copy = shared / "programs" / key.hexdigest()[:12]
    if not copy.is_dir():
        _open_directory(copy.parent)
        fresh = copy.with_name(f"{copy.name}.{os.getpid()}")
        for part in parts:
            if (root / part).exists():
                shutil.copytree(root / part, fresh / part, symlinks=True)
        _open_tree(fresh)
        _rename_unless_there(fresh, copy)
    return copy


def remove_unused_copies(shared: Path = SHARED_STATE) -> tuple[Path, ...]:
    """After the last home with data in ``shared`` went: remove the copies of programs that no
    process runs from. They are made again when a home needs them; what cannot be removed stays."""
    if any((shared / "homes").glob("*")):
        return ()
    running = [Path(one.info["exe"]) for one in psutil.process_iter(["exe"]) if one.info["exe"]]
    copies = [copy for copy in (shared / "programs").glob("*") if not copy.suffix]
    unused = [copy for copy in copies if not any(exe.is_relative_to(copy) for exe in running)]
    for copy in unused:
        shutil.rmtree(copy, ignore_errors=True)
    return tuple(copy for copy in unused if not copy.exists())


def _outside(home: Path, name: str, *, shared: Path) -> Path:
    link = home / name
    place = shared / "homes" / f"{home_identity.identity(home)}-{name}"
    _open_directory(place.parent)
    if link.is_dir():
        shutil.move(link, place)
    link.symlink_to(place)
    return place


def _make_private(directory: Path, *, account: Account | None) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if account is not None:
            os.chown(directory, account.uid, account.gid)
        directory.chmod(0o700)
    except OSError as error:
        raise ServiceError(
            f"{directory} cannot be prepared ({error.strerror}); "
            "make it writable or set KOS_HOME to a directory that is"
        ) from error


def _open_directory(directory: Path) -> None:
    for part in [*reversed(directory.parents), directory]:
        if not part.exists():
            part.mkdir(exist_ok=True)
            part.chmod(0o755)


def _open_tree(tree: Path) -> None:
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            runs = path.is_dir() or bool(path.stat().st_mode & 0o100)
            path.chmod(0o755 if runs else 0o644)


def _rename_unless_there(fresh: Path, place: Path) -> None:
    """Another process may have made the same copy meanwhile; either will do."""
    try:
        fresh.rename(place)
    except OSError:
        if not place.is_dir():
            raise
        shutil.rmtree(fresh)
