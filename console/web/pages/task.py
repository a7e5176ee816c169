"""One task: request, answer, attempts and decisions."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import redis
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from console.operations import answers, ids, lanes, outlook, reruns, tasks, timeline
from console.operations.documents import fields_of
from console.operations.errors import InvalidInput
from console.web.live import event
from console.web.markdown import to_html
from console.web.pages.overview import EVENT_STREAM
from console.web.pages.plumbing import back_to, field, known_verb, local_path, page, site_of
from console.web.site import Site
from jobs.policy.time_split import time_split
from jobs.process.clock import utc_now
from jobs.queues.names import live_key, watch_key
from models import decision, task_views
from models.attempt import TaskAttempt
from models.database import DatabaseUnavailable, session
from models.states import FINAL_STATES
from models.task_rows import WholeTask

WATCH_SECONDS = 0.5
WATCH_TTL_SECONDS = 5
QUIET_ROUNDS = 20
MAX_SHOWN_CHARS = 400_000
SPLIT_FIELDS = (
    "duration_seconds", "wait_seconds", "load_seconds", "first_token_seconds", "prefill_seconds",
    "decode_seconds",
)  # fmt: skip


def task_page(request: Request) -> Response:
    task_id = _named(request)
    with session():
        values = describe(task_id, site_of(request))
    template = "parts/task.html" if request.headers.get("hx-target") == "task" else "task.html"
    return page(request, template, curl=_as_curl(request, values["task"]), **values)


def describe(task_id: str, site: Site) -> dict[str, Any]:
    """``{"task", "story", "standing", "parents", "children", ...}``; the task exists."""
    task = tasks.details(task_id)
    decisions = decision.of_task(task_id)
    is_final = task.status in {state.value for state in FINAL_STATES}
    parents = _linked(task.depends_on)
    statuses = {one.id: one.status for one in parents}
    return {
        "task": task,
        "story": timeline.events_of(task, decisions),
        "decisions": decisions,
        "standing": timeline.standing(
            task,
            statuses,
            now=utc_now(),
            position=outlook.position_of(task_id, site.settings),
            slots=lanes.slots_for(task, site.connections),
            closed=lanes.closed_for(task, site.connections),
        ),
        "parents": parents,
        "children": _linked(task_views.waiting_for(task_id)),
        "first": _linked(_first_of(task)),
        "reruns": task_views.reruns_of(task_id),
        "attempts": [_shown(attempt) for attempt in task.attempts],
        "metadata": json.dumps(task.metadata, indent=2, ensure_ascii=False, default=str),
        "is_final": is_final,
        "max_chars": MAX_SHOWN_CHARS,
        "answer_html": to_html(task.result) if is_final and task.result else None,
    }


async def live(request: Request) -> Response:
    """Server-sent events: the answer as it grows, and a word when the task moves on."""
    site = site_of(request)
    task_id = await run_in_threadpool(_named, request)
    return StreamingResponse(_watch(site, task_id), media_type=EVENT_STREAM)


def change(request: Request, form: FormData) -> Response:
    """Cancel, retry, retry elsewhere, run again as a new task, accept an answer, or rate it."""
    verb = known_verb(request, ("cancel", "retry", "elsewhere", "again", "accept", "thumb"))
    task_id = _named(request)
    if verb == "again":
        return _run_again(request, task_id)
    if verb == "thumb":
        return _give_thumb(task_id, form)
    with session():
        if verb == "cancel":
            done = tasks.cancel([task_id])
            message, moved = "cancelled", [*done.cancelled, *done.stopping]
        elif verb == "accept":
            number = field(form, "attempt")
            accepted = tasks.accept(task_id, int(number) if number.isdecimal() else None)
            message, moved = "accepted", [str(accepted.accepted)]
        elif verb == "elsewhere":
            message, moved = "elsewhere", [*tasks.retry([task_id], elsewhere=True).retried]
        else:
            message, moved = "retried", [*tasks.retry([task_id]).retried]
    site_of(request).changed()
    return back_to(f"/tasks/{task_id}", message if moved else "nothing", n=len(moved))


def _give_thumb(task_id: str, form: FormData) -> Response:
    """The thumb that is pressed already is taken back."""
    with session():
        answers.give_thumb(task_id, field(form, "thumb") or None, field(form, "note"))
    return back_to(local_path(field(form, "back"), f"/tasks/{task_id}"), "changed")


def _run_again(request: Request, task_id: str) -> Response:
    site = site_of(request)
    with session():
        done = reruns.rerun([task_id], {}, rules=site.rules)
    site.changed()
    if not done.reruns:
        raise InvalidInput(f"{task_id[:8]} cannot run again: {done.unchanged[0].error}")
    return back_to(f"/tasks/{done.reruns[0].id}", "submitted", n=1)


async def _watch(site: Site, task_id: str) -> AsyncIterator[str]:
    seen: tuple[str, Any] | None = None
    sent = ""
    quiet = 0
    yield "retry: 2000\n\n"
    while True:
        try:
            text, state = await run_in_threadpool(_look, site, task_id)
        except (redis.RedisError, DatabaseUnavailable):
            # The page keeps what it shows; the next look may find them again.
            text, state = sent, seen
        quiet += 1
        if text and text != sent:
            is_more = text.startswith(sent)
            value = {"more": text[len(sent) :]} if is_more and sent else {"whole": text}
            yield event("answer", value)
            sent, quiet = text, 0
        if state != seen:
            yield event("state", {"changed": seen is not None, "state": state})
            seen, quiet = state, 0
        if state is None or state[0] in {one.value for one in FINAL_STATES}:
            yield event("end", {})
            return
        if quiet >= QUIET_ROUNDS:
            yield ": still here\n\n"
            quiet = 0
        await asyncio.sleep(WATCH_SECONDS)


def _look(site: Site, task_id: str) -> tuple[str, tuple[str, Any] | None]:
    """(answer so far, (status, epoch, phase)); saying that somebody watches."""
    with site.redis.pipeline(transaction=False) as pipe:
        pipe.set(watch_key(task_id), 1, ex=WATCH_TTL_SECONDS)
        pipe.get(live_key(task_id))
        text: Any = pipe.execute()[1]
    with session():
        found = task_views.moment_of(task_id)
    state = (found.status or "pending", [found.epoch, found.phase]) if found else None
    return text or "", state


def _named(request: Request) -> str:
    with session():
        return ids.resolve(request.path_params["task"])


def _first_of(task: WholeTask) -> list[str]:
    """The id of the task that this one runs again, if it still exists."""
    written = task.metadata.get(reruns.LINK) if isinstance(task.metadata, dict) else None
    if not isinstance(written, str) or not ids.is_whole(written):
        return []
    return list(task_views.statuses_of([written]))


@dataclass(frozen=True, slots=True)
class _LinkedTask:
    id: str
    title: str
    status: str


def _linked(task_ids: list[str]) -> list[_LinkedTask]:
    if not task_ids:
        return []
    statuses = task_views.statuses_of(task_ids)
    titles = task_views.titles_of(task_ids)
    return [
        _LinkedTask(one, titles.get(one) or one[:8], statuses.get(one, "gone")) for one in task_ids
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ShownAttempt(TaskAttempt):
    """An attempt with the speed of its answer, and its verdict as JSON."""

    tokens_per_second: float | None
    verdict_text: str


def _shown(attempt: TaskAttempt) -> _ShownAttempt:
    parts = time_split(**{name: getattr(attempt, name) for name in SPLIT_FIELDS})
    rate = parts.tokens_per_second(attempt.completion_tokens)
    verdict = attempt.verdict
    text = json.dumps(verdict, ensure_ascii=False, default=str) if verdict else ""
    return _ShownAttempt(**fields_of(attempt), tokens_per_second=rate, verdict_text=text)


def _as_curl(request: Request, task: WholeTask) -> str:
    """The same task again, as a command for a shell."""
    body = {
        name: value
        for name, value in (
            ("title", task.title),
            ("description", task.description),
            ("priority", task.priority),
            ("category", task.category),
        )
        if value
    }
    url = f"{request.url.scheme}://{request.url.netloc}/api/v1/tasks"
    parts = ["curl", "-sS", shlex.quote(url), "-H", "'Content-Type: application/json'"]
    if site_of(request).needs_token:
        parts += ["-H", '"Authorization: Bearer $KOS_DASHBOARD_TOKEN"']
    parts += ["-d", shlex.quote(json.dumps(body, ensure_ascii=False))]
    return " ".join(parts)
