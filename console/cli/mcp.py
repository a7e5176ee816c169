"""``kos mcp``."""

from __future__ import annotations

from functools import partial

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command
from console.operations.errors import InvalidInput


@click.command(
    cls=Command,
    examples=(
        ("kos mcp", "for an agent that starts it: on stdin and stdout"),
        ("kos mcp --http 11490", "for agents that call http://127.0.0.1:11490/mcp"),
    ),
)
@click.option(
    "--http", "port", type=click.IntRange(1, 65535), help="Serve HTTP at this port of loopback."
)
@click.option("--url", envvar="KOS_DASHBOARD_URL", help="Another dashboard than this machine's.")
@pass_app
def mcp_command(app: App, port: int | None, url: str | None) -> None:
    """Serve tasks and experts to agents over MCP, the Model Context Protocol.

    Speaks to the dashboard. With --http and KOS_DASHBOARD_TOKEN agents show that token.
    """
    try:
        from kos_client import mcp as server
    except ImportError as error:
        raise InvalidInput(
            f"a package is missing ({error}): pip install 'knowledge-os-jobs[mcp]'"
        ) from error
    from console.supervision.addresses import accepts, dashboard_url
    from kos_client import Client

    token = app.settings.dashboard_token
    connect = partial(Client, url or dashboard_url(app.settings), token)
    if port is None:
        server.serve_stdio(connect)
    elif accepts((server.HOST, port)):
        raise InvalidInput(f"port {port} is taken by another program: choose another one")
    else:
        server.serve_http(connect, port=port, token=token)
