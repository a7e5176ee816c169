"""The schedule: recurring work of people, and the periodic work of the system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from console.operations import schedules, templates
from console.operations.errors import InvalidInput
from console.web.figures.cron import described, next_runs
from console.web.numbers import small_number
from console.web.pages.plumbing import (
    back_to,
    field,
    in_time,
    known_verb,
    page,
    site_of,
    words_of,
)
from jobs.process.clock import utc_now
from jobs.queues import cron
from models.database import DatabaseUnavailable, session

FIELDS = ("name", "every", "zone", "text", "template", "catch_up", "keep", "edit")
"""``edit`` is the name of the schedule that the form changes, "" where it adds one; ``catch_up`` is
"" where missed times are skipped."""


def schedule_page(request: Request) -> Response:
    """Raises NotFound."""
    name = request.query_params.get("edit")
    if not name:
        return _page(request)
    with session():
        found = schedules.details(name, now=utc_now())
    text = "" if found.template else found.task.get("description") or ""
    chosen = {"name": name, "edit": name, "every": found.cron, "text": text}
    kept = ("zone", "template", "catch_up", "keep")
    return _page(request, chosen | {key: str(getattr(found, key) or "") for key in kept})


def write_schedule(request: Request, form: FormData) -> Response:
    """Add or change recurring work: plain words or five fields of cron, a text or a template."""
    written = {name: field(form, name) for name in FIELDS}
    is_cron = len(written["every"].split()) == 5 and not written["every"][:1].isalpha()
    values: dict[str, Any] = {"cron" if is_cron else "every": written["every"]}
    values |= {name: written[name] for name in ("zone", "template") if written[name]}
    values["line"] = (
        {"description": written["text"] or None} if written["edit"] or written["text"] else {}
    )
    values["catch_up"] = bool(written["catch_up"])
    if written["keep"]:
        values["keep"] = small_number(written["keep"], default=0)
    site = site_of(request)
    try:
        with session():
            if written["edit"]:
                values["template"] = written["template"] or None
                schedules.edit(written["edit"], values, rules=site.rules, now=utc_now())
            else:
                schedules.add(written["name"], values, rules=site.rules, now=utc_now())
    except InvalidInput as error:
        return _page(request, written, problem=str(error), status=422)
    return back_to("/schedule", "changed")


def _page(
    request: Request,
    written: Mapping[str, str] | None = None,
    *,
    problem: str = "",
    status: int = 200,
) -> Response:
    now, words = utc_now(), words_of(request)
    lines = [
        {
            "actor": line.actor,
            "queue": line.queue,
            "cron": line.cron,
            "purpose": line.purpose,
            "words": described(line.cron, words),
            "next": next_runs(line.cron, now, count=3),
        }
        for line in cron.TABLE
    ]
    try:
        with session():
            recurring = in_time(request, "the recurring work", lambda: schedules.listed(now=now))
            found = in_time(request, "the templates", templates.listed)
            known = [one.name for one in found or ()]
    except DatabaseUnavailable:
        recurring, known = None, []  # the system's own schedule is known without Postgres
    if recurring and words.language != "en":  # cronsim speaks English
        recurring = [
            one if one.problem else replace(one, words=described(one.cron, words, zone=""))
            for one in recurring
        ]
    return page(
        request,
        "schedule.html",
        status=status,
        problem=problem,
        written=written or dict.fromkeys(FIELDS, ""),
        known_templates=known,
        lines=lines,
        schedules=recurring,
    )


def steer_schedule(request: Request, form: FormData) -> Response:
    """Pause, resume, run now or remove the schedule that the form names."""
    verbs = ("pause", "resume", "run", "remove")
    verb, name = known_verb(request, verbs), field(form, "name")
    with session():
        if verb == "pause":
            schedules.pause(name)
        elif verb == "resume":
            schedules.resume(name, now=utc_now())
        elif verb == "remove":
            schedules.remove(name)
        else:
            schedules.run(name, now=utc_now())
    site_of(request).changed()
    message = {
        "pause": "schedule_paused",
        "resume": "resumed",
        "run": "submitted",
        "remove": "removed",
    }[verb]
    return back_to("/schedule", message, n=1)
