"""``python -m console.services postgres|redis|mlx-api``: prepare the service, then become it.

Further arguments are those of the MLX server.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from console.services.account import unprivileged_account
from console.services.choose import postgres_plan, redis_plan
from console.services.command import ServiceCommand
from console.services.errors import ServiceError
from console.services.postgres import prepare_postgres
from console.services.redis import prepare_redis
from jobs.settings.load import Settings, SettingsError, from_environment

USAGE = "usage: python -m console.services postgres|redis|mlx-api [OPTION...]"


def main(arguments: list[str]) -> int:
    name, *further = arguments or [""]
    if name not in {"postgres", "redis", "mlx-api"} or (further and name != "mlx-api"):
        print(USAGE, file=sys.stderr)
        return 2
    try:
        _prepare(name, from_environment(), further).exec()
    except (ServiceError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 4


def _prepare(name: str, settings: Settings, further: Sequence[str]) -> ServiceCommand:
    if name == "mlx-api":
        return mlx_server(settings, further)
    account = unprivileged_account()
    if name == "postgres":
        return prepare_postgres(postgres_plan(settings.home), account=account)
    return prepare_redis(redis_plan(settings.home), account=account)


def mlx_server(settings: Settings, arguments: Sequence[str] = ()) -> ServiceCommand:
    """It reads its variables from the environment alone, so those of ``.env`` are put there."""
    return ServiceCommand(
        argv=(sys.executable, "-m", "llm.mlx_server", *arguments),
        directory=Path.cwd(),
        environ={name: text for name, text in settings.environ.items() if name.startswith("MLX_")},
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
