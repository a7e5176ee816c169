"""The whole system on a Postgres and a Redis that accept TLS and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import requests

from console.operations.connections import Connections
from console.operations.doctor.services import service_checks
from console.services.errors import ServiceError
from console.services.redis import wait_until_pings
from console.supervision.addresses import dashboard_url, gateway_url
from jobs.settings.load import load
from jobs.upkeep.health.refusals import remedy
from tests.acceptance.house import House, house
from tests.integration.services.test_tls import NAMED, SIGNED, TLS_SECONDS
from tests.support.tls import Authority
from tests.support.tls_servers import TlsServers, programs_with_tls, tls_servers


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServers]:
    found = programs_with_tls()
    if found is None:
        pytest.skip("no servers with TLS (Debian: apt-get install postgresql redis-server)")
    with tls_servers(found, tmp_path_factory.mktemp("tls")) as servers:
        yield servers


@pytest.fixture(scope="module")
def running(servers: TlsServers) -> Iterator[House]:
    urls = {"DATABASE_URL": servers.postgres_url, "REDIS_URL": servers.redis_url}
    with house(**urls, KOS_SIMULATOR_SPEED="30") as made:
        made.up()
        yield made


def test_every_program_works(running: House) -> None:
    chat = {"model": "auto", "messages": [{"role": "user", "content": "Name three rivers."}]}

    running.wait_status(running.insert("Rivers", "Name three rivers."), "completed")
    running.wait(lambda: running.health()["status"] == "green", what="green health")

    assert all(running.pids().values()), running.pids()
    assert not {name for name in running.pids() if name.startswith("infra:")}
    assert requests.get(dashboard_url(running.settings), timeout=30).ok
    completions = f"{gateway_url(running.settings)}/v1/chat/completions"
    assert requests.post(completions, json=chat, timeout=60).ok
    assert running.kos("doctor").returncode == 0


def test_a_backup_is_made_and_compared(running: House, tmp_path: Path) -> None:
    made = running.kos("backup", str(tmp_path / "tasks.dump"))

    assert "compared: equal" in made.stdout


def test_the_programs_of_the_wheel_are_not_used_for_a_backup(
    running: House, tmp_path: Path
) -> None:
    without = House(running.home, {**running.variables, "PATH": os.devnull})

    refused = without.kos("backup", str(tmp_path / "tasks.dump"), code=1)

    assert "on PATH and built with TLS (found: none)" in refused.stderr


@dataclass(frozen=True, slots=True)
class Client:
    postgres_url: str
    redis_url: str

    def remedies(self, home: Path) -> dict[str, str | None]:
        """What ``kos doctor`` says to do."""
        urls = {"DATABASE_URL": self.postgres_url, "REDIS_URL": self.redis_url}
        connections = Connections(load({**urls, "KOS_HOME": str(home)}))
        return {check.name: check.remedy for check in service_checks(connections)}


@pytest.mark.parametrize(
    ("host", "ours", "remedy"),
    [("localhost", False, SIGNED), ("127.0.0.1", True, NAMED)],
    ids=["another authority", "another host name"],
)
def test_what_does_not_hold_is_refused(
    servers: TlsServers, tmp_path: Path, host: str, ours: bool, remedy: str
) -> None:
    other = None if ours else Authority.make(tmp_path / "theirs").certificate
    seen = servers.seen_as(host=host, authority=other)

    found = Client(seen.postgres_url, seen.redis_url).remedies(tmp_path)

    assert str(found["postgres"]).startswith(remedy)
    assert str(found["redis"]).startswith(remedy)


def test_a_client_without_tls_is_sent_to_it(servers: TlsServers, tmp_path: Path) -> None:
    plain = Client(f"{servers.plain_postgres_url}?sslmode=disable", servers.plain_redis_url)

    found = plain.remedies(tmp_path)

    assert str(found["postgres"]).endswith("write sslmode=verify-full in DATABASE_URL")
    assert str(found["redis"]).endswith("it must say rediss://")


def test_a_port_that_speaks_something_else_is_named(servers: TlsServers, redis_url: str) -> None:
    postgres = replace(servers, redis_port=servers.postgres_port).redis_url
    plain = redis_url.replace("redis", "rediss", 1) + "?socket_connect_timeout=0.5"

    for url, words in (
        (postgres, "only where that port accepts TLS"),
        (plain, "whether that port accepts TLS"),
    ):
        with pytest.raises(ServiceError) as refused:
            wait_until_pings(url, timeout_seconds=TLS_SECONDS)
        assert words in remedy(refused.value, "")


def test_a_start_and_every_command_say_the_same(servers: TlsServers) -> None:
    seen = servers.seen_as(host="127.0.0.1")

    with house(DATABASE_URL=seen.postgres_url, REDIS_URL=seen.redis_url) as stranger:
        assert f"; {NAMED} in DATABASE_URL" in stranger.kos("up", code=4).stderr
        assert f": {NAMED} in DATABASE_URL" in stranger.kos("tasks", code=4).stderr
