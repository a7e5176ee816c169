"""Running systems for one measurement: nothing of them is left afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models import database
from tests.support.embedded import fresh_database, postgres_server, redis_server
from tests.support.system import System, running_system


@contextmanager
def scratch_system(postgres_url: str, redis_url: str, **options: Any) -> Iterator[System]:
    """`running_system` with ``options``, on a database and in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="kos-bench-") as scratch:
        try:
            with running_system(
                fresh_database(postgres_url), redis_url, Path(scratch), **options
            ) as system:
                yield system
        finally:
            database.close_all()


@contextmanager
def lone_system(**options: Any) -> Iterator[System]:
    """A `scratch_system` on a Postgres and a Redis of its own."""
    with (
        postgres_server() as postgres,
        redis_server() as redis,
        scratch_system(postgres.url, redis.url, **options) as system,
    ):
        yield system
