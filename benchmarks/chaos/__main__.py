"""Chaos: tasks run while programs and servers are killed, frozen, flushed and cut.

    python -m benchmarks.chaos [--tasks 1000] [--seconds 180] [--every 3] [--seed N] [--keep DIR]

Prints a table and ends with 1 when anything was lost, doubled, stuck, over a limit or unrecorded.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from benchmarks.chaos.report import report
from benchmarks.chaos.run import run_chaos


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two harms")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--keep", type=Path, help="directory that keeps the logs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kos-chaos-") as scratch:
        directory = options.keep or Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        result = run_chaos(
            directory,
            seed=options.seed,
            tasks=options.tasks,
            seconds=options.seconds,
            every_seconds=options.every,
        )
    print(report(result))
    return 1 if result.findings.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
