"""A Postgres and a Redis that accept TLS and nothing else, where this machine has such builds.

The bundled ones are built without TLS; ``tests/support/tls.py`` stands in front of those.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from console.services.account import unprivileged_account
from console.services.binaries import REDIS_NAMES
from console.services.command import ServiceCommand
from console.services.postgres import wait_until_connectable
from console.services.redis import wait_until_pings
from tests.support.embedded import PASSWORD, START_SECONDS, Server, running, scratch_directory
from tests.support.tls import Authority

DEBIAN = Path("/usr/lib/postgresql")
PROBE_SECONDS = 30
HBA = "hostssl all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True, slots=True)
class TlsServers:
    """``authority`` signed their certificate, which is for ``localhost``."""

    postgres_port: int
    redis_port: int
    authority: Path
    host: str = "localhost"

    def seen_as(self, *, host: str = "localhost", authority: Path | None = None) -> TlsServers:
        """The same servers for a client that calls them ``host`` and trusts ``authority``."""
        return replace(self, host=host, authority=authority or self.authority)

    @property
    def postgres_url(self) -> str:
        trusted = quote(str(self.authority))
        return f"{self.plain_postgres_url}?sslmode=verify-full&sslrootcert={trusted}"

    @property
    def redis_url(self) -> str:
        plain = self.plain_redis_url.replace("redis", "rediss", 1)
        return f"{plain}?ssl_ca_certs={quote(str(self.authority))}"

    @property
    def plain_postgres_url(self) -> str:
        return f"postgresql://kos:{PASSWORD}@{self.host}:{self.postgres_port}/postgres"

    @property
    def plain_redis_url(self) -> str:
        return f"redis://:{PASSWORD}@{self.host}:{self.redis_port}/0"


@dataclass(frozen=True, slots=True)
class Programs:
    """Directory of a Postgres, and a redis-server; both built with TLS."""

    postgres: Path
    redis: Path


def programs_with_tls() -> Programs | None:
    postgres, redis = _postgres_with_tls(), _redis_with_tls()
    return Programs(postgres, redis) if postgres and redis else None


@contextmanager
def tls_servers(programs: Programs, directory: Path) -> Iterator[TlsServers]:
    """Both, with a certificate that an authority in ``directory`` signed."""
    authority = Authority.make(directory / "authority")
    certificate, trusted = authority.sign("localhost"), authority.certificate
    with (
        _postgres(programs.postgres, certificate, trusted) as postgres_port,
        _redis(programs.redis, certificate, trusted) as redis_port,
    ):
        yield TlsServers(postgres_port, redis_port, trusted)


def _postgres_with_tls() -> Path | None:
    """The one of PATH, else the newest of Debian's."""
    installed = sorted(DEBIAN.glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    of_path = shutil.which("postgres")
    found = [Path(of_path).resolve().parent] if of_path else []
    configured = (path for path in [*found, *installed] if (path / "pg_config").is_file())
    return next(
        (path for path in configured if "openssl" in _said(path / "pg_config", "--configure")), None
    )


def _redis_with_tls() -> Path | None:
    """One without TLS does not know the port; one with TLS misses the certificate."""
    asked = ("--port", "0", "--tls-port", "1")
    found = [Path(path) for path in map(shutil.which, REDIS_NAMES) if path]
    return next((path for path in found if "tls-cert-file" in _said(path, *asked)), None)


def _said(program: Path, *arguments: str) -> str:
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=PROBE_SECONDS
    ).stdout


@contextmanager
def _postgres(programs: Path, certificate: Path, authority: Path) -> Iterator[int]:
    with _directory(certificate) as directory:
        account = unprivileged_account()
        data = directory / "data"
        identity: dict[str, Any] = {"user": account.uid, "group": account.gid} if account else {}
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "kos", "-A", "scram-sha-256", "-E", "UTF8",
             "--locale=C", "--no-sync", f"--pwfile={directory / 'password'}"],
            **identity, cwd=directory, check=True, capture_output=True, timeout=PROBE_SECONDS,
        )  # fmt: skip

        def command(port: int) -> tuple[str, ...]:
            pem = directory / "server.pem"
            options = {
                "port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
                "fsync": "off", "max_connections": 200, "hba_file": directory / "hba",
                "ssl": "on", "ssl_cert_file": pem, "ssl_key_file": pem,
            }  # fmt: skip
            arguments = [
                part for name, text in options.items() for part in ("-c", f"{name}={text}")
            ]
            return (str(programs / "postgres"), "-D", str(data), *arguments)

        def wait(port: int) -> None:
            url = TlsServers(port, 0, authority).postgres_url
            wait_until_connectable(url, timeout_seconds=START_SECONDS)

        with _served(directory, command, wait, signal.SIGINT) as port:
            yield port


@contextmanager
def _redis(program: Path, certificate: Path, authority: Path) -> Iterator[int]:
    with _directory(certificate) as directory:

        def command(port: int) -> tuple[str, ...]:
            pem = directory / "server.pem"
            options = {
                "port": 0, "tls-port": port, "bind": "127.0.0.1", "dir": directory, "save": "",
                "tls-cert-file": pem, "tls-key-file": pem, "tls-ca-cert-file": pem,
                "tls-auth-clients": "no", "requirepass": PASSWORD,
            }  # fmt: skip
            words = [word for name, text in options.items() for word in (f"--{name}", str(text))]
            return (str(program), *words)

        def wait(port: int) -> None:
            url = TlsServers(0, port, authority).redis_url
            wait_until_pings(url, timeout_seconds=START_SECONDS)

        with _served(directory, command, wait, signal.SIGTERM) as port:
            yield port


@contextmanager
def _directory(certificate: Path) -> Iterator[Path]:
    """With the files of a server, of the account that it runs as."""
    account = unprivileged_account()
    texts = {"server.pem": certificate.read_text(), "password": PASSWORD, "hba": HBA}
    with scratch_directory() as directory:
        for name, text in texts.items():
            (directory / name).write_text(text)
            (directory / name).chmod(0o600)
        if account is not None:
            for path in (directory, *directory.iterdir()):
                os.chown(path, account.uid, account.gid)
        yield directory


@contextmanager
def _served(
    directory: Path,
    command: Callable[[int], tuple[str, ...]],
    wait: Callable[[int], None],
    stop: signal.Signals,
) -> Iterator[int]:
    def make(port: int) -> Server:
        return Server(
            url=str(port),
            directory=directory,
            prepare=lambda: ServiceCommand(command(port), directory, unprivileged_account()),
            wait=lambda _: wait(port),
            stop_signal=stop,
        )

    with running(make) as server:
        yield int(server.url)
