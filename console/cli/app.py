"""What the commands of one call share: settings and connections, opened when first needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    import redis

    from console.operations.connections import Connections
    from jobs.runtime import Runtime
    from jobs.settings.load import Settings

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(slots=True)
class App:
    """Handed to every command by :func:`pass_app`."""

    _settings: Settings | None = field(default=None, repr=False)
    _connections: Connections | None = field(default=None, repr=False)

    @property
    def settings(self) -> Settings:
        """Raises SettingsError."""
        if self._settings is None:
            from jobs.settings.load import from_environment

            self._settings = from_environment()
        return self._settings

    def adopt(self, settings: Settings) -> None:
        """Go on with the settings of a system that was just started."""
        self.close()
        self._settings, self._connections = settings, None

    @property
    def connections(self) -> Connections:
        if self._connections is None:
            from console.operations.connections import Connections

            self._connections = Connections(self.settings)
        return self._connections

    @property
    def redis(self) -> redis.Redis:
        return self.connections.redis

    def database(self) -> AbstractContextManager[None]:
        """A database session: ``with app.database(): ...``."""
        from models.database import session

        self.connections.use_database()
        return session()

    @contextmanager
    def runtime(self) -> Iterator[Runtime]:
        """The services of the worker programs, for commands that act as they do."""
        from console.operations.errors import ServiceUnreachable
        from jobs.runtime import connect

        settings = self.settings
        try:
            runtime = connect(settings, program="cli")
        except ValueError as error:
            raise ServiceUnreachable(str(error)) from error
        try:
            yield runtime
        finally:
            runtime.close()

    def log_directory(self) -> Path | None:
        """Where tracebacks are kept, None before settings were read."""
        return self._settings.log_directory if self._settings else None

    def close(self) -> None:
        if self._connections is not None:
            self._connections.close()


def pass_app(function: Callable[Concatenate[App, P], R]) -> Callable[P, R]:
    """Like ``click.pass_obj``, typed."""

    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        context = click.get_current_context()
        app = context.find_object(App)
        assert app is not None
        call: Any = context.invoke
        result: R = call(function, app, *args, **kwargs)
        return result

    return update_wrapper(wrapper, function)
