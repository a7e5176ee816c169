"""Data kept outside a home carry the identity of that home, written in both places.

A path proves nothing: a removed home leaves its data behind, and a new one at the same path has
other passwords. Data of a stranger or an orphan are left where they are and never used.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from console.services.errors import ServiceError
from jobs.settings.home_identity import IDENTITY, identity

MARK = ".kos-home"


def mark(place: Path, home: Path) -> None:
    """Write down in ``place`` whose data it holds."""
    (place / MARK).write_text(f"{identity(home)}\n{home}\n", encoding="utf-8")


def belongs(place: Path, home: Path) -> bool:
    """Whether ``place`` holds the data of ``home``; one of before marks were written does."""
    owner = _owner(place)
    return owner is None or owner[0] == identity(home)


def orphans(shared: Path) -> tuple[str, ...]:
    """A line for each place below ``shared`` whose home was deleted or created anew."""
    lines = []
    for place in sorted((shared / "homes").glob("*")):
        owner = _owner(place)
        if owner is not None and _written_identity(owner[1]) != owner[0]:
            lines.append(f"{place} holds data of a home that is gone ({owner[1]}); remove it")
    return tuple(lines)


def purge(home: Path) -> tuple[Path, ...]:
    """Remove ``home`` and its data outside; what was removed. Nothing of it may run.

    Raises:
        ServiceError: ``home`` is no home of ours, or something in it cannot be removed.
    """
    if not (home / "env").is_file() or not (home / "run").is_dir():
        raise ServiceError(f"{home} is no home that kos up made; nothing was removed")
    linked = [link.resolve() for link in home.iterdir() if link.is_symlink()]
    outside = [place for place in linked if place.is_dir() and _owned(place, home)]
    try:
        for place in (*outside, home):
            shutil.rmtree(place)
    except OSError as error:
        raise ServiceError(f"{error.filename} cannot be removed ({error.strerror})") from error
    return (*outside, home)


def _owned(place: Path, home: Path) -> bool:
    return _owner(place) is not None and belongs(place, home)


def _owner(place: Path) -> tuple[str, Path] | None:
    """(identity, home) as marked, None where nothing is."""
    try:
        lines = (place / MARK).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return (lines[0], Path(lines[1])) if len(lines) > 1 else None


def _written_identity(home: Path) -> str | None:
    try:
        return (home / IDENTITY).read_text(encoding="utf-8").strip()
    except OSError:
        return None
