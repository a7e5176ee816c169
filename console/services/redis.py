"""An embedded Redis (or Valkey): append-only file on, password set, loopback only."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from console.services.account import SHARED_STATE, Account, data_directory
from console.services.binaries import redis_program
from console.services.command import ServiceCommand
from console.services.errors import ServiceError
from console.services.processes import end


@dataclass(frozen=True, slots=True)
class RedisPlan:
    """What the embedded Redis shall be."""

    home: Path
    port: int
    password: str = field(repr=False)
    durable: bool = True
    databases: int = 16

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"


def prepare_redis(
    plan: RedisPlan, *, account: Account | None, shared: Path = SHARED_STATE
) -> ServiceCommand:
    """Write its configuration (the password is not for ``ps`` to show); raises ServiceError."""
    directory = data_directory(plan.home, "redis", account=account, shared=shared)
    program = redis_program(account=account, shared=shared)
    configuration = directory / "redis.conf"
    try:
        configuration.touch(mode=0o600)
        configuration.write_text(_configuration(plan, directory), encoding="utf-8")
        if account is not None:
            os.chown(configuration, account.uid, account.gid)
    except OSError as error:
        raise ServiceError(f"{configuration} cannot be written ({error.strerror})") from error
    end_earlier_redis(directory)
    return ServiceCommand((str(program), str(configuration)), directory=directory, account=account)


def _configuration(plan: RedisPlan, directory: Path) -> str:
    lines = {
        "bind": "127.0.0.1",
        "port": str(plan.port),
        "requirepass": plan.password,
        "dir": _quoted(str(directory)),
        "pidfile": _quoted(str(directory / "redis.pid")),
        "databases": str(plan.databases),
        "appendonly": "yes" if plan.durable else "no",
        "appendfsync": "everysec",
        "aof-load-truncated": "yes",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "tcp-backlog": "128",
        "daemonize": "no",
        "loglevel": "notice",
        "logfile": '""',
    }
    return "".join(f"{name} {text}\n" for name, text in lines.items())


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def end_earlier_redis(directory: Path) -> None:
    """A Redis of this directory that outlived its supervisor makes room, having saved its file."""
    gone = (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied)
    with contextlib.suppress(*gone):
        process = psutil.Process(int((directory / "redis.pid").read_text()))
        if Path(process.cwd()) != directory.resolve():
            return
        end([process], signal.SIGTERM, seconds=10)


def wait_until_pings(url: str, *, timeout_seconds: float) -> None:
    """Poll until Redis at ``url`` answers PING; raises ServiceError."""
    deadline = time.monotonic() + timeout_seconds
    once = Retry(NoBackoff(), 0)
    client = redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=5, retry=once)
    with contextlib.closing(client):
        while True:
            try:
                client.ping()
            except redis.RedisError as error:
                if time.monotonic() > deadline:
                    raise ServiceError(f"Redis does not answer: {error}") from error
                time.sleep(0.02)
            else:
                return
