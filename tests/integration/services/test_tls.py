"""Databases behind TLS: a certificate that does not hold is refused, and the remedy is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from console.operations.connections import Connections
from console.operations.doctor.check import Check, Level
from console.operations.doctor.services import service_checks
from console.services.errors import ServiceError
from console.services.postgres import wait_until_connectable
from jobs.settings.load import load
from jobs.upkeep.health.refusals import remedy
from models import database
from tests.support.system import migrate
from tests.support.tls import Authority, over_tls

SIGNED = "name the file of the authority that signed its certificate"
NAMED = "write the host name of its certificate"
TLS_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Site:
    """A Postgres and a Redis, an authority that signs for them, and one that does not."""

    postgres_url: str
    redis_url: str
    ours: Authority
    theirs: Authority


@pytest.fixture
def site(migrated_url: str, redis_url: str, tmp_path: Path) -> Iterator[Site]:
    migrate(migrated_url)
    ours, theirs = Authority.make(tmp_path / "ours"), Authority.make(tmp_path / "theirs")
    yield Site(migrated_url, redis_url, ours, theirs)
    database.close_all()


def checks(site: Site, home: Path, *, host: str, trusted: Path) -> dict[str, Check]:
    """What ``kos doctor`` finds where the servers are ``host`` and ``trusted`` is the authority."""
    certificate = site.ours.sign(host)
    with (
        over_tls(site.postgres_url, certificate, authority=trusted) as postgres,
        over_tls(site.redis_url, certificate, authority=trusted) as redis,
    ):
        settings = load({"DATABASE_URL": postgres, "REDIS_URL": redis, "KOS_HOME": str(home)})
        return {check.name: check for check in service_checks(Connections(settings))}


def test_verified_tls_is_used(site: Site, tmp_path: Path) -> None:
    found = checks(site, tmp_path, host="localhost", trusted=site.ours.certificate)

    assert found["postgres"].level is Level.OK, found["postgres"]
    assert found["redis"].level is Level.OK, found["redis"]
    assert found["tables"].level is Level.OK, found["tables"]


@pytest.mark.parametrize(
    ("host", "authority", "postgres", "redis"),
    [
        ("localhost", "theirs", SIGNED, SIGNED),
        ("elsewhere.example", "ours", NAMED, NAMED),
        ("localhost", "nobody", "write in sslrootcert", "write in ssl_ca_certs"),
    ],
    ids=["another authority", "another host's certificate", "no such file"],
)
def test_what_does_not_hold_is_refused_with_its_remedy(
    site: Site, tmp_path: Path, host: str, authority: str, postgres: str, redis: str
) -> None:
    trusted = tmp_path / authority / "ca.pem"

    found = checks(site, tmp_path, host=host, trusted=trusted)

    assert found["postgres"].level is Level.RED
    assert str(found["postgres"].remedy).startswith(postgres)
    assert found["redis"].level is Level.RED
    assert str(found["redis"].remedy).startswith(redis)


def test_a_postgres_without_tls_is_refused_with_its_remedy(site: Site) -> None:
    url = f"{site.postgres_url}?sslmode=require"

    with pytest.raises(ServiceError) as refused:
        wait_until_connectable(url, timeout_seconds=TLS_SECONDS)

    assert remedy(refused.value, "").startswith("set up TLS there")
