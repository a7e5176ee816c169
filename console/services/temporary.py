"""The embedded Postgres for the time of one command, where the system is stopped."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from console.services.account import unprivileged_account
from console.services.choose import postgres_plan
from console.services.postgres import prepare_postgres, wait_until_connectable

START_SECONDS = 60.0
STOP_SECONDS = 30.0


@contextmanager
def embedded_postgres(home: Path) -> Iterator[str]:
    """Run it and yield its URL; it is made if the home has none. Raises ServiceError."""
    plan = postgres_plan(home)
    command = prepare_postgres(plan, account=unprivileged_account())
    account = command.account
    with (home / "log" / "postgres.log").open("ab") as log:
        server = subprocess.Popen(
            command.argv,
            cwd=command.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            # A Ctrl-C at the terminal must end the command first, which then clears up in here.
            start_new_session=True,
        )
    try:
        wait_until_connectable(plan.url, timeout_seconds=START_SECONDS)
        yield plan.url
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
