"""What one dashboard process holds: settings, connections, figures, sessions, templates."""

from __future__ import annotations

from dataclasses import dataclass

import redis
from jinja2 import Environment

from console.operations.connections import Connections
from console.operations.rules import rules_of
from console.operations.submission import Rules
from console.web.figures.overview import Overviews
from console.web.live import Feed
from console.web.security.attempts import LoginAttempts
from console.web.security.ended import EndedSessions
from console.web.security.sessions import Sessions
from console.web.templating import environment
from jobs.settings.load import Settings
from models import database

THREADS = 12


@dataclass(frozen=True, slots=True)
class Site:
    settings: Settings
    connections: Connections
    overviews: Overviews
    feed: Feed
    sessions: Sessions
    logins: LoginAttempts
    templates: Environment

    @property
    def redis(self) -> redis.Redis:
        return self.connections.redis

    @property
    def needs_token(self) -> bool:
        return self.settings.dashboard_token is not None

    @property
    def rules(self) -> Rules:
        """What a submitted task may refer to."""
        return rules_of(self.connections)

    def changed(self) -> None:
        """Drop the caches after a change by hand."""
        self.overviews.forget()

    def close(self) -> None:
        self.feed.close()
        self.connections.close()


def build_site(settings: Settings) -> Site:
    """Connects lazily. Raises ServiceUnreachable where no Redis is known."""
    if settings.database_url:
        database.configure(
            settings.database_url, pool_size=THREADS + 4, application_name="kos-dashboard"
        )
    connections = Connections(settings)
    templates = environment()
    overviews = Overviews(settings, connections.redis)
    return Site(
        settings=settings,
        connections=connections,
        overviews=overviews,
        feed=Feed(overviews, templates, read_only=settings.dashboard_read_only),
        sessions=Sessions(
            settings.dashboard_token,
            port=settings.dashboard_port,
            ended=EndedSessions(settings.home / "run" / f"ended-{settings.dashboard_port}.json"),
        ),
        logins=LoginAttempts(),
        templates=templates,
    )
