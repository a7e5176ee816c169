"""Files that a task may show to a model: they exist, can be read and lie inside the file roots."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def allowed_file(
    name: str, *, base: Path, roots: Sequence[Path], field: str = "files"
) -> tuple[Path | None, str | None]:
    """(absolute path, None), or (None, the problem and its remedy).

    ``name`` is relative to ``base``. Symbolic links are resolved before the check against the
    roots.
    """
    try:
        path = (base / name).expanduser().resolve()
        inside = any(path.is_relative_to(root.resolve()) for root in roots)
        is_file, readable = path.is_file(), os.access(path, os.R_OK)
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)[:200]
        return None, f"{field}: {name[:200]!r} is not a usable path ({reason})"
    if not inside:
        return None, f"{field}: {_outside(path, roots)}"
    if path.is_dir():
        return None, f"{field}: {path} is a directory; name a file"
    if not is_file:
        what = "is not a regular file" if path.exists() else "does not exist"
        return None, f"{field}: {path} {what}"
    if not readable:
        return None, f"{field}: {path} cannot be read; change its permissions"
    return path, None


def _outside(path: Path, roots: Sequence[Path]) -> str:
    if not roots:
        return f"{path}: no directory is allowed; set KOS_FILE_ROOTS in .env and run kos up"
    listed = ", ".join(str(root) for root in roots)
    return (
        f"{path} lies outside KOS_FILE_ROOTS ({listed}); "
        "copy it there, or add its directory to KOS_FILE_ROOTS in .env and run kos up"
    )
