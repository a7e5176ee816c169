"""A PgBouncer in transaction mode for tests/integration/pooler.

``python -m tests.support.poolers`` prints its path. Exit status 1: there is none.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

from console.services.account import unprivileged_account
from console.services.command import ServiceCommand
from console.services.postgres import wait_until_connectable
from tests.support.embedded import START_SECONDS, Server, running, scratch_directory

DEBIAN = "/usr/sbin"
CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={port} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
auth_type = any
pool_mode = transaction
default_pool_size = {pool_size}
unix_socket_dir =
"""


def find_pgbouncer() -> str | None:
    return shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), DEBIAN]))


@contextmanager
def pgbouncer(postgres_url: str, *, pool_size: int = 8) -> Iterator[str]:
    """``postgres_url`` through a pooler of ``pool_size`` sessions."""
    program = find_pgbouncer()
    assert program is not None, "no pgbouncer (Debian: apt-get install pgbouncer)"
    target = urlsplit(postgres_url)

    with scratch_directory() as directory:

        def make(port: int) -> Server:
            file = directory / "pgbouncer.ini"
            file.write_text(
                CONFIGURATION.format(
                    port=target.port,
                    user=target.username,
                    password=target.password,
                    own_port=port,
                    pool_size=pool_size,
                )
            )
            account = f"{target.username}:{target.password}@127.0.0.1:{port}"
            return Server(
                url=urlunsplit(target._replace(netloc=account)),
                directory=directory,
                prepare=lambda: ServiceCommand(
                    (program, str(file)), directory, unprivileged_account()
                ),
                wait=lambda url: wait_until_connectable(url, timeout_seconds=START_SECONDS),
                stop_signal=signal.SIGQUIT,
            )

        with running(make) as server:
            yield server.url


def main() -> int:
    found = find_pgbouncer()
    print(found or "none")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
