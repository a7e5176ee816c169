"""``python -m benchmarks.chaos.shifted_scheduler FILE``: the scheduler with a clock of its own.

Its clock is off by the seconds that stand in FILE, read again at every look at the time: whoever
changes the file lets the clock jump under the running program.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pendulum

from jobs import scheduler


def main() -> int:
    offset = Path(sys.argv[1])
    real_time, real_now = time.time, pendulum.now

    def shift_seconds() -> float:
        return float(offset.read_text() or 0) if offset.exists() else 0.0

    def shifted_now(*arguments: Any, **options: Any) -> Any:
        return real_now(*arguments, **options).add(seconds=shift_seconds())

    time.time = lambda: real_time() + shift_seconds()
    pendulum.now = shifted_now
    return scheduler.main()


if __name__ == "__main__":
    sys.exit(main())
