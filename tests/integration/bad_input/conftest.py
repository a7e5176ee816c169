"""One database and one Redis for all cases of a file: what is refused leaves them as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
import redis

from models import database
from tests.support.embedded import Server, drop_database, fresh_database
from tests.support.system import migrate

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one directory that tasks may read."""
    return tmp_path_factory.mktemp("files").resolve()


@pytest.fixture(scope="module")
def database_url(shared_postgres: Server) -> Iterator[str]:
    url = fresh_database(shared_postgres.url, migrated=True)
    migrate(url)
    yield url
    database.close_all()
    drop_database(shared_postgres.url, url)


@pytest.fixture(scope="module")
def empty_redis(shared_redis: Server) -> Iterator[str]:
    """What an earlier file left, such as a scan of servers that are away, is gone."""
    with closing(redis.Redis.from_url(shared_redis.url)) as client:
        client.flushdb()
        yield shared_redis.url
        client.flushdb()


@pytest.fixture(scope="module")
def environ(
    database_url: str, empty_redis: str, files: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The settings of a house whose model servers are away."""
    home = tmp_path_factory.mktemp("home")
    dotenv = home / "empty.env"
    dotenv.touch()
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": empty_redis,
        "KOS_HOME": str(home),
        "KOS_DOTENV": str(dotenv),
        "KOS_FILE_ROOTS": str(files),
        "OLLAMA_API_URL": NOBODY,
        "MLX_API_URL": NOBODY,
    }


def count_tasks(url: str) -> int:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM tasks")
        found = cursor.fetchone()
    assert found is not None
    return int(found[0])
