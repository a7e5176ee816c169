"""TLS in front of a Postgres or a Redis that has none of its own, and an authority to sign for it.

The bundled servers are built without TLS. For their clients this is the real thing: libpq and
redis-py negotiate with it as with a server, and check the certificate's chain and name.
"""

from __future__ import annotations

import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

CHUNK = 65_536
HANDSHAKE_SECONDS = 5.0
POSTGRES_REQUEST_BYTES = 8
POSTGRES_WANTS_TLS = (80877103).to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs certificates; ``certificate`` is what its clients trust."""

    directory: Path

    @property
    def certificate(self) -> Path:
        return self.directory / "ca.pem"

    @classmethod
    def make(cls, directory: Path) -> Authority:
        directory.mkdir(parents=True)
        made = cls(directory)
        key = directory / "ca.key"
        _openssl("req", "-x509", *_NEW_KEY, "-keyout", key, "-out", made.certificate,
                 "-days", "2", "-subj", "/CN=Authority of the tests",
                 "-addext", "basicConstraints=critical,CA:TRUE")  # fmt: skip
        return made

    def sign(self, *names: str) -> Path:
        """A file with a certificate for these host names and addresses, and its key."""
        stem = self.directory / f"server-{len(list(self.directory.iterdir()))}"
        key, request, signed = (stem.with_suffix(end) for end in (".key", ".csr", ".crt"))
        alternatives = ",".join(
            f"IP:{name}" if name.replace(".", "").isdigit() else f"DNS:{name}" for name in names
        )
        _openssl("req", *_NEW_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={names[0]}",
                 "-addext", f"subjectAltName={alternatives}")  # fmt: skip
        _openssl("x509", "-req", "-in", request, "-CA", self.certificate,
                 "-CAkey", self.directory / "ca.key", "-CAcreateserial", "-days", "2",
                 "-copy_extensions", "copyall", "-out", signed)  # fmt: skip
        both = stem.with_suffix(".pem")
        both.write_text(key.read_text() + signed.read_text())
        return both


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*arguments: object) -> None:
    command = ["openssl", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr


@dataclass
class TlsProxy:
    """Takes TLS on ``address`` and passes what is inside to ``target``."""

    target: tuple[str, int]
    certificate: Path
    speaks_postgres: bool
    address: str = "127.0.0.1"
    _listener: socket.socket = field(default_factory=socket.socket)
    _context: ssl.SSLContext = field(init=False)

    def start(self) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate)
        self._listener.bind((self.address, 0))
        self._listener.listen(256)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def stop(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            client.settimeout(HANDSHAKE_SECONDS)
            if self.speaks_postgres and not self._grants_tls(client):
                return
            with (
                self._context.wrap_socket(client, server_side=True) as inside,
                socket.create_connection(self.target) as server,
            ):
                inside.settimeout(None)
                _pass_bytes(inside, server)

    def _grants_tls(self, client: socket.socket) -> bool:
        """Postgres is asked for TLS in the clear, and agrees with one letter."""
        request = client.recv(POSTGRES_REQUEST_BYTES, socket.MSG_WAITALL)
        wants = request[4:] == POSTGRES_WANTS_TLS
        if wants:
            client.sendall(b"S")
        return wants


def _pass_bytes(inside: ssl.SSLSocket, server: socket.socket) -> None:
    while True:
        # What TLS has decrypted already makes no socket readable.
        ready: Sequence[socket.socket] = [inside] if inside.pending() else []
        for source in ready or select.select([inside, server], [], [])[0]:
            data = source.recv(CHUNK)
            if not data:
                return
            (server if source is inside else inside).sendall(data)


@contextmanager
def over_tls(
    url: str, certificate: Path, *, authority: Path, name: str = "localhost", address: str = ""
) -> Iterator[str]:
    """``url`` of a Postgres or Redis as a client writes it that trusts ``authority`` alone."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    postgres = parts.scheme == "postgresql"
    proxy = TlsProxy((parts.hostname, parts.port), certificate, postgres, address or "127.0.0.1")
    proxy.start()
    trusted = quote(str(authority))
    changed = {
        "netloc": f"{parts.netloc.rpartition('@')[0]}@{name}:{proxy.port}",
        "scheme": "postgresql" if postgres else "rediss",
        "query": f"sslmode=verify-full&sslrootcert={trusted}"
        if postgres
        else f"ssl_ca_certs={trusted}",
    }
    try:
        yield urlunsplit(parts._replace(**changed))
    finally:
        proxy.stop()
