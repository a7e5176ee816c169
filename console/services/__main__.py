"""``python -m console.services postgres|redis``: prepare the service, then become it."""

from __future__ import annotations

import sys
from pathlib import Path

from console.services.account import unprivileged_account
from console.services.choose import postgres_plan, redis_plan
from console.services.command import Command
from console.services.errors import ServiceError
from console.services.postgres import prepare_postgres
from console.services.redis import prepare_redis
from jobs.settings import SettingsError, from_environment

USAGE = "usage: python -m console.services postgres|redis"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in {"postgres", "redis"}:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        _prepare(arguments[0], from_environment().home).exec()
    except (ServiceError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 4


def _prepare(name: str, home: Path) -> Command:
    account = unprivileged_account()
    if name == "postgres":
        return prepare_postgres(postgres_plan(home), account=account)
    return prepare_redis(redis_plan(home), account=account)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
