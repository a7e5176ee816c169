"""Python imports this first where its directory is in PYTHONPATH: a host whose clock is wrong.

``HOST_CLOCK_AHEAD_SECONDS`` is added to every reading of the wall clock; time that passes is left
alone. libfaketime was tried: with it, waits of Python threads never end.
"""

from __future__ import annotations

import datetime
import os
import time

AHEAD_SECONDS = float(os.environ.get("HOST_CLOCK_AHEAD_SECONDS", "0"))
_time, _time_ns = time.time, time.time_ns
_real = datetime.datetime


class _EveryDatetime(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, _real)


class _Datetime(_real, metaclass=_EveryDatetime):
    """``now`` of this host; what is made of it is an ordinary ``datetime``."""

    def __new__(cls, *arguments: object, **fields: object) -> _real:  # type: ignore[misc]
        return _real(*arguments, **fields)  # type: ignore[arg-type]

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _real:  # type: ignore[override]
        return _real.fromtimestamp(time.time(), tz)


if AHEAD_SECONDS:
    time.time = lambda: _time() + AHEAD_SECONDS
    time.time_ns = lambda: _time_ns() + int(AHEAD_SECONDS * 1e9)
    datetime.datetime = _Datetime  # type: ignore[misc]
