"""What ``/healthz`` and ``/metrics`` say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from jobs.upkeep.health.checks import HealthCheck
from jobs.upkeep.health.endpoint import serve

checks: list[HealthCheck] = []


@pytest.fixture
def url() -> Iterator[str]:
    checks.clear()
    server = serve("127.0.0.1", 0, lambda: checks)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_green_is_200_and_red_is_503(url: str) -> None:
    checks[:] = [HealthCheck("redis", True, "fine")]
    assert requests.get(f"{url}/healthz", timeout=5).status_code == 200

    checks.append(HealthCheck("postgres", False, "down", "start it"))
    answer = requests.get(f"{url}/healthz", timeout=5)

    assert answer.status_code == 503
    assert answer.json()["checks"][1]["remedy"] == "start it"


def test_before_the_first_round_it_is_not_green(url: str) -> None:
    assert requests.get(f"{url}/healthz", timeout=5).status_code == 503


def test_metrics_name_every_check(url: str) -> None:
    checks[:] = [HealthCheck("redis", True, "fine"), HealthCheck("postgres", False, "down")]

    text = requests.get(f"{url}/metrics", timeout=5).text

    assert 'kos_check_up{check="redis"} 1' in text
    assert 'kos_check_up{check="postgres"} 0' in text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", ""])
def test_another_name_of_this_machine_is_not_served(url: str, host: str) -> None:
    for path in ("/healthz", "/metrics"):
        answer = requests.get(f"{url}{path}", headers={"Host": host}, timeout=5)
        assert answer.status_code == 421
        assert "kos_check" not in answer.text
