"""``KOS_HOME``: the one directory of a deployment's state, and the ``env`` file that finds it.

What is chosen at the first start (ports, passwords, the supervisor's socket) is written to
``KOS_HOME/env`` and kept. The file is read by settings and can be sourced by a shell.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import random
import secrets
import shlex
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from console.services.errors import ServiceError
from jobs.settings.sources import EXPORTED, read_home_env

PORT_RANGE = range(20_000, 30_000)  # below the ports that outgoing connections are given
SOCKET_PATH_BYTES = 90  # the kernel's bound is 104 on macOS, and supervisor appends its pid


def prepare_home(home: Path) -> None:
    """Create ``home`` and its private directories; raises ServiceError with the remedy.

    Root's is passable (not listable) by others, for the databases' account has to enter it.
    """
    mode = 0o711 if os.geteuid() == 0 else 0o700
    try:
        is_new = not home.is_dir()
        home.mkdir(parents=True, exist_ok=True)
        if is_new:
            home.chmod(mode)
        for name in ("log", "conf.d", "run"):
            (home / name).mkdir(exist_ok=True)
            (home / name).chmod(0o700)
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(b"x" * 4096)
    except OSError as error:
        remedy = (
            "free some space"
            if error.errno in {errno.ENOSPC, errno.EDQUOT}
            else "make it writable or set KOS_HOME to a directory that is"
        )
        raise ServiceError(f"{home} cannot be used ({error.strerror}); {remedy}") from error


def update_env(home: Path, changes: Mapping[str, str | None]) -> dict[str, str]:
    """Merge ``changes`` into ``home/env`` in one step (None removes); returns all pairs.

    Only what psql and supervisorctl need is exported to a shell that sources the file: a port
    that an old shell remembers shall not win over the file.
    """
    pairs: dict[str, str | None] = {**read_home_env(home), **changes}
    kept = {name: text for name, text in sorted(pairs.items()) if text is not None}
    lines = ["# Written by kos up. Load it with:  . " + shlex.quote(str(home / "env"))]
    for name, text in kept.items():
        export = "export " if name in EXPORTED else ""
        lines.append(f"{export}{name}={shlex.quote(text)}")
    write_private(home / "env", "\n".join(lines) + "\n")
    return kept


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` with mode 0600; a full disk leaves the old file in place."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise ServiceError(
            f"{path} cannot be written ({error.strerror}); free some space"
        ) from error


@contextmanager
def locked(home: Path, name: str) -> Iterator[bool]:
    """Hold ``home/run/name.lock``; yields False at once where another process holds it.

    Where nothing can be written there is nothing to protect: stopping must work then too.
    """
    try:
        file = (home / "run" / f"{name}.lock").open("a")
    except OSError as error:
        if error.errno not in {errno.EROFS, errno.ENOSPC, errno.EDQUOT}:
            raise ServiceError(f"{home} cannot be used ({error.strerror})") from error
        yield True
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def free_port(preferred: int | None = None) -> int:
    """``preferred`` where it is free, else a random free loopback port."""
    if preferred is not None and port_is_free(preferred):
        return preferred
    # Not the generator that others may have seeded: two processes must not try the same ports.
    for port in random.SystemRandom().sample(PORT_RANGE, 200):
        if port_is_free(port):
            return port
    raise ServiceError("no free loopback port was found between 20000 and 29999")


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def new_password() -> str:
    return secrets.token_urlsafe(24)


def supervisor_socket_path(home: Path) -> Path:
    """A socket below ``home``, or in a private short directory where that path is too long."""
    usual = home / "run" / "supervisor.sock"
    if len(os.fsencode(usual)) <= SOCKET_PATH_BYTES:
        return usual
    key = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"kos-{os.geteuid()}-{key}" / "supervisor.sock"


def private_directory(directory: Path) -> None:
    """Make ``directory`` private to us; refuse one of another user."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_uid != os.geteuid() or directory.is_symlink():
        raise ServiceError(f"{directory} belongs to somebody else; remove it or set KOS_HOME")
    directory.chmod(0o700)
