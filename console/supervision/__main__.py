"""``python -m console.supervision running|up|down``: for scripts; people use ``kos``."""

from __future__ import annotations

import sys

from console.services.errors import ServiceError
from console.supervision.client import SupervisorNotRunning
from console.supervision.start import up
from console.supervision.status import status
from console.supervision.stop import down
from jobs.settings import Settings, SettingsError, from_environment

USAGE = "usage: python -m console.supervision running|up|down"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in {"running", "up", "down"}:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        return _do(arguments[0], from_environment())
    except (ServiceError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 4


def _do(what: str, settings: Settings) -> int:
    if what == "running":
        return 0 if _runs(settings) else 1
    if what == "up":
        up(settings, say=print)
    else:
        down(settings)
    return 0


def _runs(settings: Settings) -> bool:
    if not settings.home.is_dir():
        return False
    try:
        return bool(status(settings))
    except SupervisorNotRunning:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
