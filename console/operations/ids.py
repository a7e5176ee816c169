"""Task ids as people write them: whole, a custom_id, or a unique beginning."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from console.operations.errors import InvalidInput, UnknownName
from models import task_views

_HEX = re.compile(r"[0-9a-fA-F-]{1,36}")
_WHOLE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
WHOLE_DIGITS = 32
LEAST_DIGITS = 6
"""Of a beginning: fewer may well be somebody's custom_id, or a slip."""
CANDIDATES_SHOWN = 3


def resolve(written: str) -> str:
    """The task id for ``written``: a whole id, a custom_id, or a unique beginning of an id.

    Raises:
        UnknownName: no task matches.
        InvalidInput: several tasks match, or the beginning is too short.
    """
    if is_whole(written) and written.lower() in task_views.statuses_of([written.lower()]):
        return written.lower()
    named = task_views.ids_by_key([written]) if _storable(written) else {}
    if written in named:
        return named[written]
    found = _by_prefix(written)
    if len(found) == 1 and len(written.replace("-", "")) >= LEAST_DIGITS:
        return found[0]
    if len(found) == 1:
        raise InvalidInput(
            f"no task has the custom_id {written!r}, and the beginning of an id has at least "
            f"{LEAST_DIGITS} digits: write more of {found[0]}, if that is meant"
        )
    if found:
        raise InvalidInput(f"{written} is the beginning of several ids: write {' or '.join(found)}")
    raise UnknownName(f"no task has the id or custom_id {written!r}: list them with `kos tasks`")


def resolve_all(written: Iterable[str]) -> list[str]:
    """The ids, in order and each once; whole ids that exist are looked up together."""
    names = list(dict.fromkeys(name.strip() for name in written if name.strip()))
    whole = [name.lower() for name in names if is_whole(name)]
    known = task_views.statuses_of(whole) if whole else {}
    ids = [name.lower() if name.lower() in known else resolve(name) for name in names]
    return list(dict.fromkeys(ids))


def is_whole(text: str) -> bool:
    """Whether ``text`` has the shape of a task's whole id."""
    return _WHOLE.fullmatch(text.lower()) is not None


def short(task_id: str, *, among: Sequence[str] = ()) -> str:
    """The first eight digits, or as many as distinguish it from the other listed ids."""
    length = 8
    while length < len(task_id) and any(
        other != task_id and other.startswith(task_id[:length]) for other in among
    ):
        length += 1
    return task_id[:length].rstrip("-")


def _storable(text: str) -> bool:
    """Whether Postgres could hold it: no NUL, no half of a surrogate pair."""
    return "\x00" not in text and text.encode("utf-8", "ignore").decode() == text


def _by_prefix(written: str) -> list[str]:
    digits = written.replace("-", "")
    if not digits or len(digits) > WHOLE_DIGITS or not _HEX.fullmatch(written):
        return []
    return task_views.ids_by_prefix(written, limit=CANDIDATES_SHOWN)
