"""The dashboard: ``python -m console.web``."""

from __future__ import annotations

import sys

import uvicorn

from console.operations.errors import OperationError
from console.web.app import build_app
from jobs.process import signals
from jobs.process.http_origins import LOOPBACK
from jobs.settings.load import Settings
from llm.connections import BoundedPages

DRAIN_SECONDS = 3
KEEP_ALIVE_SECONDS = 10


def main() -> int:
    """Serve until a stop signal; exit code 2 if it refuses to start."""
    settings = signals.prepare("dashboard")
    problem = refusal(settings)
    if problem is not None:
        return _refuse(problem)
    try:
        app = build_app(settings)
    except (OperationError, ValueError) as error:
        return _refuse(str(error))
    uvicorn.run(
        app,
        host=settings.dashboard_host,
        port=settings.dashboard_port,
        log_config=None,
        access_log=False,
        server_header=False,
        http=BoundedPages,
        # Only a proxy that is named may say for whom it asks; uvicorn believes all of loopback.
        proxy_headers=bool(settings.dashboard_proxies),
        forwarded_allow_ips=list(settings.dashboard_proxies),
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    return 0


def refusal(settings: Settings) -> str | None:
    """Why these settings are not served: other machines may only come in with a token."""
    if settings.dashboard_host in LOOPBACK or settings.dashboard_token:
        return None
    return (
        f"refuses to listen on {settings.dashboard_host} without a password: "
        "set KOS_DASHBOARD_TOKEN, or KOS_DASHBOARD_HOST=127.0.0.1"
    )


def _refuse(problem: str) -> int:
    print(f"dashboard: {problem}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
