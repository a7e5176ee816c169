"""Chooses the embedded services' ports and passwords once, and keeps them in ``KOS_HOME/env``."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from console.home import free_port, new_password, prepare_home, update_env
from console.services.errors import ServiceError
from console.services.postgres import PostgresPlan
from console.services.redis import RedisPlan
from jobs.settings.sources import EMBEDDED, read_home_env

POSTGRES_KEY = EMBEDDED["DATABASE_URL"]
REDIS_KEY = EMBEDDED["REDIS_URL"]


def postgres_plan(home: Path, *, durable: bool = True) -> PostgresPlan:
    """The plan stored in ``home/env``, or a new one."""
    url = read_home_env(home).get(POSTGRES_KEY)
    if url is None:
        plan = PostgresPlan(home, port=free_port(), password=new_password(), durable=durable)
        remember_postgres(plan)
        return plan
    port, password = _port_and_password(url, home)
    return PostgresPlan(home, port=port, password=password, durable=durable)


def redis_plan(home: Path, *, durable: bool = True) -> RedisPlan:
    """The plan stored in ``home/env``, or a new one."""
    url = read_home_env(home).get(REDIS_KEY)
    if url is None:
        plan = RedisPlan(home, port=free_port(), password=new_password(), durable=durable)
        remember_redis(plan)
        return plan
    port, password = _port_and_password(url, home)
    return RedisPlan(home, port=port, password=password, durable=durable)


def remember_postgres(plan: PostgresPlan) -> None:
    prepare_home(plan.home)
    update_env(plan.home, {POSTGRES_KEY: plan.url, "DATABASE_URL": plan.url})


def remember_redis(plan: RedisPlan) -> None:
    prepare_home(plan.home)
    update_env(plan.home, {REDIS_KEY: plan.url, "REDIS_URL": plan.url})


def _port_and_password(url: str, home: Path) -> tuple[int, str]:
    parts = urlsplit(url)
    if parts.port is None or parts.password is None:
        raise ServiceError(f"{home / 'env'} is damaged; remove it to choose ports anew")
    return parts.port, parts.password
