"""How often a test looks whether something has come."""

from __future__ import annotations

from collections.abc import Iterator

FIRST_SECONDS = 0.01
LONGEST_SECONDS = 0.2


def pauses() -> Iterator[float]:
    """Seconds between two looks: short ones first, so that waiting long costs little."""
    pause = FIRST_SECONDS
    while True:
        yield pause
        pause = min(pause * 1.5, LONGEST_SECONDS)
