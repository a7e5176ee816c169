from __future__ import annotations

import socket
from pathlib import Path

import pytest

from console.operations.doctor import machine, services
from console.operations.doctor.check import Level
from console.supervision.addresses import dashboard_address, dashboard_url
from console.supervision.health import listeners
from jobs.settings.load import Settings, load


def settings_of(tmp_path: Path, host: str, port: int = 11480) -> Settings:
    variables = {"KOS_DASHBOARD_HOST": host, "KOS_DASHBOARD_PORT": str(port)}
    return load({"KOS_HOME": str(tmp_path), **variables}, in_container=False)


@pytest.mark.parametrize(
    ("host", "reached", "url"),
    [
        ("127.0.0.1", "127.0.0.1", "http://127.0.0.1:11480"),
        ("0.0.0.0", "127.0.0.1", "http://127.0.0.1:11480"),
        ("::", "::1", "http://[::1]:11480"),
        ("::1", "::1", "http://[::1]:11480"),
        ("192.0.2.7", "192.0.2.7", "http://192.0.2.7:11480"),
        ("studio", "studio", "http://studio:11480"),
    ],
)
def test_the_dashboard_is_reached_where_it_listens(
    tmp_path: Path, host: str, reached: str, url: str
) -> None:
    settings = settings_of(tmp_path, host)

    assert dashboard_address(settings) == (reached, 11480)
    assert listeners(settings)["watch:dashboard"] == (reached, 11480)
    assert dashboard_url(settings) == url


def test_the_doctor_asks_where_the_dashboard_listens(tmp_path: Path) -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listener:
        settings = settings_of(tmp_path, "::", listener.getsockname()[1])

        check = next(machine._ports(settings, running=True))

    assert (check.name, check.level) == ("dashboard port", Level.OK)


@pytest.mark.parametrize(("number", "level"), [(130_022, Level.RED), (140_000, Level.OK)])
def test_the_doctor_wants_the_postgres_that_is_documented(number: int, level: Level) -> None:
    assert services._postgres_version(number).level is level


@pytest.mark.parametrize(
    ("about", "older"),
    [
        ({"redis_version": "6.2.14"}, True),
        ({"redis_version": "6.2.20"}, False),
        ({"redis_version": "7.0.15"}, True),
        ({"redis_version": "8.4.0"}, False),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.4"}, False),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.3"}, True),
    ],
)
def test_the_doctor_names_the_redis_that_runs_and_whether_it_is_old(
    about: dict[str, str], older: bool
) -> None:
    check = services._redis_version(about, ours=True)

    assert about.get("valkey_version", about["redis_version"]) in check.detail
    assert ("older than" in check.detail) is older
