"""Cron lines in words of every language, and when those of our own table run next.

There minutes and hours may be ``*``, ``*/n`` or a number; days, months and weekdays are ``*``.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from console.words import Words

LOOK_AHEAD = timedelta(days=2)
EVERY = {
    "*": "every day at {time}", "1-5": "every weekday at {time}", "0": "every Sunday at {time}",
    "1": "every Monday at {time}", "2": "every Tuesday at {time}", "3": "every Wednesday at {time}",
    "4": "every Thursday at {time}", "5": "every Friday at {time}",
    "6": "every Saturday at {time}", "7": "every Sunday at {time}",
}  # fmt: skip
"""By the field of the weekday."""


def described(cron: str, words: Words, *, zone: str = " UTC") -> str:
    """``every minute``, ``every 2 minutes``, ``every hour at :17``, ``every day at 03:41 UTC``,
    ``every weekday at 07:30 UTC``; another line stays as it is."""
    minute, hour, *dates, weekday = cron.split()
    if dates != ["*", "*"]:
        return cron
    if hour.isdigit() and minute.isdigit() and weekday in EVERY:
        return words(EVERY[weekday], time=f"{int(hour):02d}:{int(minute):02d}") + zone
    if (hour, weekday) != ("*", "*"):
        return cron
    if minute == "*":
        return words("every minute")
    if minute.isdigit():
        return words("every hour at :{minute}", minute=f"{int(minute):02d}")
    step = minute.removeprefix("*/")
    return words("every {n} minutes", n=int(step)) if step.isdigit() else cron


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
