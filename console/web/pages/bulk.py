"""What is done to many tasks at once: to those that are ticked, or to all of one status."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from console.operations import tasks
from console.operations.errors import InvalidInput
from console.operations.ids import is_whole
from console.web.pages.plumbing import back_to, field, local_path, site_of
from console.web.pages.tasks import NAMES, read_filters
from models import task_views
from models.database import session
from models.task_filter import TaskFilter

PAGE_ROWS = 1000


@dataclass(frozen=True, slots=True)
class _Change:
    """``run`` returns how many tasks it moved; ``statuses`` are those that it can move."""

    run: Callable[[list[str]], int]
    message: str
    statuses: tuple[str, ...]


def bulk(request: Request, form: FormData) -> Response:
    """``cancel`` and ``retry`` act on the ticked tasks, ``cancel-all`` and ``retry-all`` on every
    task that the filter of the list lets through.

    Raises InvalidInput for another verb, and for a status whose tasks the verb cannot move.
    """
    back = local_path(field(form, "back"), "/tasks")
    word = field(form, "verb")
    verb = word.removesuffix("-all")
    change = _CHANGES.get(verb)
    if change is None:
        raise InvalidInput(f"tasks can be cancelled or retried; {word!r} is neither")
    pages = iter([_ticked(form)]) if verb == word else _all_of(_fitting(form, verb, change))
    with session():
        number = sum(change.run(page) for page in pages)
    site_of(request).changed()
    return back_to(back, change.message if number else "nothing", n=number)


def _fitting(form: FormData, verb: str, change: _Change) -> TaskFilter:
    """What the list showed: its status, and whatever else narrowed it."""
    filters = read_filters({name: field(form, name) for name in NAMES})
    if filters.problem:
        raise InvalidInput(
            f"nothing was changed, {verb} takes what the list shows: {filters.problem}"
        )
    if filters.texts["status"] not in change.statuses:
        known = ", ".join(change.statuses)
        raise InvalidInput(
            f"nothing was changed: {verb} takes all tasks of one status of {known}; "
            f"the list showed {filters.texts['status'] or 'every status'}"
        )
    return filters.chosen()


def _ticked(form: FormData) -> list[str]:
    written = [str(value).lower() for value in form.getlist("id")]
    return [task_id for task_id in written if is_whole(task_id)]


def _all_of(chosen: TaskFilter) -> Iterator[list[str]]:
    """Ids in pages, each task once: one that keeps or regains its status is not met again."""
    ids = task_views.newest_ids(chosen, limit=None)[::-1]
    for start in range(0, len(ids), PAGE_ROWS):
        yield ids[start : start + PAGE_ROWS]


def _cancel(task_ids: list[str]) -> int:
    done = tasks.cancel(task_ids)
    return len(done.cancelled) + len(done.stopping)


def _retry(task_ids: list[str]) -> int:
    return len(tasks.retry(task_ids).retried)


_CHANGES: Mapping[str, _Change] = {
    "cancel": _Change(_cancel, "cancelled", ("pending", "queued", "in_progress")),
    "retry": _Change(_retry, "retried", ("failed", "cancelled")),
}
