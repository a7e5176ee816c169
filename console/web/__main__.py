"""The dashboard: ``python -m console.web``."""

from __future__ import annotations

import sys

import uvicorn

from console.web.app import build_app
from jobs import process

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def main() -> int:
    settings = process.prepare("dashboard")
    if settings.dashboard_host not in LOOPBACK and not settings.dashboard_token:
        print(
            f"dashboard: refuses to listen on {settings.dashboard_host} without a password: "
            "set KOS_DASHBOARD_TOKEN",
            file=sys.stderr,
        )
        return 2
    uvicorn.run(
        build_app(settings),
        host=settings.dashboard_host,
        port=settings.dashboard_port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=3,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
