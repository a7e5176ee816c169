"""``kos backends``, ``pause`` and ``resume``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command, complete_backends, json_option
from console.cli.output import Column, note, print_json, print_table, say, styled
from jobs.process.clock import utc_now

if TYPE_CHECKING:
    from console.operations.backends import BackendOverview, OpenBreaker
    from jobs.admission.residency import Holds

COLUMNS = (
    Column("NAME"),
    Column("KIND", min_width=110),
    Column("STATE"),
    Column("RESIDENT", flexible=True),
    Column("MODELS", justify="right", min_width=80),
    Column("IN FLIGHT", justify="right"),
    Column("LIMIT", justify="right"),
    Column("WHY", flexible=True, min_width=100, spoken=True),
    Column("BREAKER", min_width=80),
)


@click.command(
    cls=Command,
    examples=(
        ("kos backends", "who answers, what is in memory, what limits them"),
        ("kos backends --refresh", "list the models anew"),
        ("kos pause ollama", "send nothing more there"),
    ),
)
@click.option("--refresh", is_flag=True, help="Ask for the lists of models now.")
@json_option
@pass_app
def backends_command(app: App, refresh: bool, as_json: bool) -> None:
    """Model servers: health, models, what is in memory, limits and why, breakers."""
    from console.operations import backends

    client = app.redis if app.settings.redis_url else None
    rows = backends.overview(app.settings, client, refresh=refresh)
    if as_json:
        print_json(rows)
        return
    print_table(COLUMNS, [_cells(row) for row in rows], empty=_EMPTY)
    for row in rows:
        if row.error:
            note(f"{row.name} at {row.url}: {row.error}", "red")
        if row.holds:
            _print_holds(row.name, row.holds)
    for breaker in backends.open_breakers(client) if client else []:
        _print_breaker(breaker)


@click.command(cls=Command, examples=(("kos pause ollama", "until `kos resume ollama`"),))
@click.argument("backend", shell_complete=complete_backends)
@json_option
@pass_app
def pause_command(app: App, backend: str, as_json: bool) -> None:
    """Send nothing more to a backend; what runs there goes on.

    Returns when every process has heard of it.
    """
    _set_paused(app, backend, paused=True, as_json=as_json)


@click.command(cls=Command, examples=(("kos resume ollama", "send work there again"),))
@click.argument("backend", shell_complete=complete_backends)
@json_option
@pass_app
def resume_command(app: App, backend: str, as_json: bool) -> None:
    """Send work to a paused backend again."""
    _set_paused(app, backend, paused=False, as_json=as_json)


def _set_paused(app: App, written: str, *, paused: bool, as_json: bool) -> None:
    from console.operations import backends

    name = backends.checked_name(app.settings, written)
    backends.set_paused(app.connections, name, paused=paused)
    if as_json:
        print_json({"backend": name, "paused": paused})
    else:
        say(f"{name} is paused; `kos resume {name}` ends it" if paused else f"{name} takes work")


def _cells(row: BackendOverview) -> list[Any]:
    return [
        row.name + (" (simulated)" if row.simulated else ""),
        row.kind,
        styled("healthy", "green") if row.healthy else styled("down", "red"),
        ", ".join(row.resident) or "-",
        len(row.models),
        row.in_flight,
        row.limit,
        row.limit_reason,
        styled(row.breaker, "green" if row.breaker == "closed" else "red"),
    ]


def _print_holds(backend: str, holds: Holds) -> None:
    text = (
        f"{backend} holds fewer models at once ({holds.models}) than configured: "
        f"loading {holds.loaded} removed {holds.removed}"
    )
    if holds.together_bytes:
        size = f"{holds.together_bytes / 1e9:.1f} GB"
        text += f"; together they are {size}, more than it was ever seen to hold"
    note(text, "yellow")


def _print_breaker(breaker: OpenBreaker) -> None:
    from console.operations.times import ago

    place = breaker.backend + (f" with {breaker.model}" if breaker.model else "")
    due = ago(breaker.retry_at, now=utc_now())
    later = f"; next try {due}" if due.startswith("in ") else ""
    note(f"{place}: breaker {breaker.breaker}, {breaker.reason}{later}", "yellow")


_EMPTY = "No backends: set OLLAMA_API_URL or MLX_API_URL, or name more in KOS_BACKENDS_FILE."
