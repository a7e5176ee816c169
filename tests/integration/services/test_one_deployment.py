"""One database, one Redis: a second home with another of one is refused, and named red."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from console.operations.connections import Connections
from console.operations.doctor.check import Level
from console.operations.doctor.services import service_checks
from console.services.errors import ServiceError
from console.supervision.tables import prepare_tables
from jobs.queues.names import DEPLOYMENT
from jobs.settings.load import Settings, load
from jobs.upkeep.deployment import location_of
from jobs.upkeep.health import services
from jobs.upkeep.health.checks import HealthCheck
from models import database
from tests.support.embedded import Server, fresh_database


@dataclass(frozen=True)
class Home:
    """A home with a Redis of its own, on a database that it shares."""

    settings: Settings

    def up(self, *, replace_redis: bool = False) -> tuple[str, ...]:
        """What `kos up` does once its databases run."""
        return prepare_tables(self.settings, replace_redis=replace_redis)

    def health(self) -> HealthCheck:
        database.configure(self.settings.database_url or "", pool_size=2, application_name="health")
        with closing(self.redis()) as client:
            here = location_of(self.settings.redis_url or "", self.settings.home)
            return services.deployment(client, here)

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.settings.redis_url or "")

    def doctor(self) -> dict[str, Level]:
        with closing(Connections(self.settings)) as connections:
            return {check.name: check.level for check in service_checks(connections)}


@pytest.fixture(autouse=True)
def no_connection_left() -> Iterator[None]:
    yield
    database.close_all()


def home(path: Path, postgres_url: str, redis_url: str) -> Home:
    path.mkdir(exist_ok=True)
    urls = {"DATABASE_URL": postgres_url, "REDIS_URL": redis_url, "KOS_HOME": str(path)}
    return Home(load(urls, dotenv=None))


@pytest.fixture
def first(migrated_url: str, redis_url: str, tmp_path: Path) -> Home:
    found = home(tmp_path / "first", migrated_url, redis_url)
    found.up()
    return found


@pytest.fixture
def second(migrated_url: str, own_redis: Server, tmp_path: Path) -> Home:
    return home(tmp_path / "second", migrated_url, own_redis.url)


def test_a_second_home_with_another_redis_is_refused_with_both_right_ways(
    first: Home, second: Home
) -> None:
    with pytest.raises(ServiceError) as refusal:
        second.up()

    said = str(refusal.value)
    assert str(first.settings.home) in said
    assert "set REDIS_URL to that Redis" in said
    assert "set DATABASE_URL to a database of this home's own" in said
    assert first.up() == ()


def test_programs_started_beside_a_deployment_are_red_and_the_deployment_is_not(
    first: Home, second: Home
) -> None:
    assert not second.health().ok
    assert second.doctor()["deployment"] is Level.RED

    assert first.health().ok
    assert "deployment" not in first.doctor()


def test_a_second_home_with_the_same_redis_works_on_more_machines(
    first: Home, tmp_path: Path
) -> None:
    settings = first.settings
    beside = home(tmp_path / "beside", settings.database_url or "", settings.redis_url or "")

    beside.up()

    assert beside.health().ok
    assert first.health().ok


def test_a_second_database_with_the_same_redis_is_refused_and_may_take_it_by_a_word(
    first: Home, tmp_path: Path, shared_postgres: Server
) -> None:
    apart = home(
        tmp_path / "apart", fresh_database(shared_postgres.url), first.settings.redis_url or ""
    )
    with pytest.raises(ServiceError, match="another number of that Redis"):
        apart.up()
    assert not apart.health().ok
    assert apart.doctor()["deployment"] is Level.RED
    assert first.health().ok

    assert "is now" in "".join(apart.up(replace_redis=True))
    assert apart.health().ok
    assert not first.health().ok


def test_a_redis_that_was_emptied_gets_its_name_back(first: Home) -> None:
    with closing(first.redis()) as client:
        before = client.get(DEPLOYMENT)
        client.flushdb()

        assert first.health().ok
        assert client.get(DEPLOYMENT) == before


def test_a_home_may_replace_its_own_redis_and_another_one_only_by_a_word(
    first: Home, second: Home, own_redis: Server
) -> None:
    settings = first.settings
    moved = home(settings.home, settings.database_url or "", own_redis.url)
    assert any("is now" in line for line in moved.up())
    assert not first.health().ok, "what still counts in the old Redis is named"

    back = home(second.settings.home, settings.database_url or "", settings.redis_url or "")
    with pytest.raises(ServiceError, match="--replace-redis"):
        back.up()
    assert any("is now" in line for line in back.up(replace_redis=True))
    assert back.health().ok
