"""Cron lines in words, and when they run next: as much of cron as our own table uses.

Minutes and hours may be ``*``, ``*/n`` or a number; days, months and weekdays are ``*``.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from console.words import Words

LOOK_AHEAD = timedelta(days=2)


def described(cron: str, words: Words) -> str:
    """``every minute``, ``every 2 minutes``, ``every hour at :17``, ``every day at 03:41 UTC``."""
    minute, hour, *rest = cron.split()
    if rest != ["*", "*", "*"]:
        return cron
    if hour == "*":
        if minute == "*":
            return words("every minute")
        if minute.startswith("*/"):
            return words("every {n} minutes", n=int(minute[2:]))
        return words("every hour at :{minute}", minute=f"{int(minute):02d}")
    if hour.startswith("*/") or minute == "*" or minute.startswith("*/"):
        return cron
    return words("every day at {time} UTC", time=f"{int(hour):02d}:{int(minute):02d}")


def next_runs(cron: str, now: datetime, *, count: int) -> list[datetime]:
    """The next ``count`` minutes that match; fewer where two days hold fewer."""
    minute, hour, *_ = cron.split()
    found: list[datetime] = []
    moment = now.replace(second=0, microsecond=0)
    while len(found) < count and moment < now + LOOK_AHEAD:
        moment += timedelta(minutes=1)
        if _fits(minute, moment.minute) and _fits(hour, moment.hour):
            found.append(moment)
    return found


def _fits(pattern: str, value: int) -> bool:
    if pattern == "*":
        return True
    if pattern.startswith("*/"):
        return value % int(pattern[2:]) == 0
    return value == int(pattern)
