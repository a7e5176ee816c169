"""The schedule: recurring work of people, and the periodic work of the system."""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from console.operations import schedules
from console.web.figures.cron import described, next_runs
from console.web.pages.plumbing import back_to, field, known_verb, page, site_of, words_of
from jobs.process.clock import utc_now
from jobs.queues import schedule
from models.database import DatabaseUnavailable, session


def schedule_page(request: Request) -> Response:
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
        for line in schedule.TABLE
    ]
    try:
        with session():
            recurring = schedules.listed(now=now)
    except DatabaseUnavailable:
        recurring = None  # the system's own schedule is known without Postgres
    # cronsim speaks English; a cron line is read in every language.
    return page(
        request,
        "schedule.html",
        lines=lines,
        schedules=recurring,
        in_words=words.language == "en",
    )


def steer_schedule(request: Request, form: FormData) -> Response:
    """Pause, resume or run now the schedule that the form names."""
    verb, name = known_verb(request, ("pause", "resume", "run")), field(form, "name")
    with session():
        if verb == "pause":
            schedules.pause(name)
        elif verb == "resume":
            schedules.resume(name, now=utc_now())
        else:
            schedules.run(name, now=utc_now())
    site_of(request).changed()
    message = {"pause": "schedule_paused", "resume": "resumed", "run": "submitted"}[verb]
    return back_to("/schedule", message, n=1)
