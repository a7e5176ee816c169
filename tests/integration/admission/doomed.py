"""A process that goes up to a step of its work with slots, says so, and waits to be killed."""

from __future__ import annotations

import signal
import sys
from typing import Any, NoReturn

import redis

from jobs.admission.slots import Slots

LIMIT = 2


def stop_here() -> NoReturn:
    print("here", flush=True)
    while True:
        signal.pause()


class DeafConnection(redis.Connection):
    """Sends like any other, and once armed never reads the answer."""

    armed = False

    def read_response(self, *args: Any, **options: Any) -> Any:
        if DeafConnection.armed:
            stop_here()
        return super().read_response(*args, **options)


def main(url: str, step: str, lease_seconds: float, place_seconds: float) -> None:
    pool = redis.ConnectionPool.from_url(url, connection_class=DeafConnection, retry=None)
    slots = Slots(
        redis.Redis(connection_pool=pool),
        lease_seconds=lease_seconds,
        place_seconds=place_seconds,
        renew_seconds=0.3,
    )
    slots.in_use("ollama")
    DeafConnection.armed = step == "asked"
    if step == "connected":
        stop_here()
    admission = slots.acquire("ollama", "doomed:1", limit=LIMIT)
    if step == ("granted" if admission.granted else "waiting"):
        stop_here()
    DeafConnection.armed = step in ("renewing", "asking again")
    if step == "asking again":
        slots.acquire("ollama", "doomed:1", limit=LIMIT)
    slots.renew()
    if step == "renewed":
        stop_here()
    DeafConnection.armed = step == "releasing"
    slots.release("ollama", "doomed:1")
    stop_here()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
