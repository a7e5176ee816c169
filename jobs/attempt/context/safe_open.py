"""Opens a file under a path from an untrusted task, or refuses it with a reason.

The path is walked by file descriptors from a root that the operator configured. No component may be
``..`` or a symbolic link, and the checked descriptor is the one that is read, so replacing a file
by a link in between has no effect. A FIFO or device is never opened.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

MAX_FILE_BYTES = 5_000_000

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS = {
    stat.S_IFDIR: "is a directory; name a file",
    stat.S_IFLNK: "is a symbolic link; links are not followed",
    stat.S_IFIFO: "is a FIFO, not a regular file",
    stat.S_IFSOCK: "is a socket, not a regular file",
    stat.S_IFCHR: "is a device, not a regular file",
    stat.S_IFBLK: "is a device, not a regular file",
}
_REASONS = {
    errno.ENOENT: "does not exist",
    errno.EACCES: "may not be read (permission denied)",
    errno.EPERM: "may not be read (permission denied)",
    errno.ELOOP: "is a symbolic link; links are not followed",
    errno.ENAMETOOLONG: "has a name that is too long",
    errno.ENXIO: "is a socket or device, not a regular file",
}


class FileRefused(Exception):
    """The file is not read; the message says why, without the path."""


def read_inside(path: str, *, roots: Sequence[Path], max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """The content of ``path``, which is relative to one of ``roots``, or absolute and inside one.

    Raises `FileRefused`. Roots are trusted, so a root may be reached through a link.
    """
    if not roots:
        raise FileRefused("no directory is open to tasks; set KOS_FILE_ROOTS")
    if not path.strip() or "\x00" in path:
        raise FileRefused("is no path")
    problem = FileRefused(f"is outside the allowed directories ({_named(roots)})")
    for root, parts in _candidates(path, roots):
        try:
            return _read(root, parts, max_bytes)
        except FileNotFoundError:
            problem = FileRefused(f"does not exist in {_named(roots)}")
        except OSError as error:
            raise FileRefused(_reason(error)) from error
    raise problem


def _candidates(path: str, roots: Sequence[Path]) -> list[tuple[Path, tuple[str, ...]]]:
    wanted = PurePosixPath(path)
    if ".." in wanted.parts:
        raise FileRefused('holds ".."; write the path without it')
    if not wanted.is_absolute():
        return [(root, wanted.parts) for root in roots if wanted.parts]
    return [
        (root, wanted.relative_to(base).parts)
        for root in roots
        for base in dict.fromkeys((PurePosixPath(root), PurePosixPath(os.path.realpath(root))))
        if wanted.is_relative_to(base) and wanted != base
    ]


def _read(root: Path, parts: tuple[str, ...], max_bytes: int) -> bytes:
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            _refuse_link(part, directory)
            inner = os.open(part, _DIRECTORY, dir_fd=directory)
            os.close(directory)
            directory = inner
        # Opening a device may have effects, so only regular files are opened; the decisive check is
        # the second one, on the descriptor.
        _refuse_kind(os.stat(parts[-1], dir_fd=directory, follow_symlinks=False), max_bytes)
        descriptor = os.open(parts[-1], _FILE, dir_fd=directory)
    finally:
        os.close(directory)
    try:
        _refuse_kind(os.fstat(descriptor), max_bytes)
        return _bounded(descriptor, max_bytes)
    finally:
        os.close(descriptor)


def _refuse_link(part: str, directory: int) -> None:
    # Only for the message: the open below refuses a link anyway.
    if stat.S_ISLNK(os.stat(part, dir_fd=directory, follow_symlinks=False).st_mode):
        raise FileRefused(f'goes through the symbolic link "{part}"; links are not followed')


def _refuse_kind(found: os.stat_result, max_bytes: int) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        raise FileRefused(_KINDS.get(kind, "is not a regular file"))
    if found.st_size > max_bytes:
        raise FileRefused(f"has {found.st_size} bytes; at most {max_bytes} are read")


def _bounded(descriptor: int, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size_bytes = 0
    while chunk := os.read(descriptor, 1 << 18):
        size_bytes += len(chunk)
        if size_bytes > max_bytes:
            raise FileRefused(f"has more than {max_bytes} bytes; at most {max_bytes} are read")
        chunks.append(chunk)
    return b"".join(chunks)


def _reason(error: OSError) -> str:
    return _REASONS.get(error.errno or 0, f"cannot be read: {error.strerror or error}")


def _named(roots: Sequence[Path]) -> str:
    return ", ".join(str(root) for root in roots)
