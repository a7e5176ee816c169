"""When recurring work is due.

cronsim follows Debian's cron: a time that the clock skips in spring runs just after the change, and
one that comes twice in autumn runs once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

LATE = timedelta(minutes=5)
"""A run that starts later than this was missed: the machine slept, or nothing ticked."""
TICK = timedelta(minutes=1)
MOST_COUNTED = 10_000
WEEK = timedelta(days=8)

DAYS = {
    "day": "*", "weekday": "1-5", "weekend": "6,0", "sunday": "0", "monday": "1", "tuesday": "2",
    "wednesday": "3", "thursday": "4", "friday": "5", "saturday": "6",
}  # fmt: skip
_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})"
PLAIN = (
    (rf"(?:daily|every day)(?: at {_TIME})?", "{minute} {hour} * * *"),
    (rf"every (?P<day>{'|'.join(DAYS)})(?: at {_TIME})?", "{minute} {hour} * * {day}"),
    (rf"(?:monthly|every month)(?: on the (?P<date>\d{{1,2}})(?:st|nd|rd|th)?)?(?: at {_TIME})?",
     "{minute} {hour} {date} * *"),
    (r"(?:hourly|every hour)", "0 * * * *"),
    (r"every minute", "* * * * *"),
    (r"every (?P<minutes>\d{1,2}) (?:minutes|min)", "*/{minutes} * * * *"),
    (r"every (?P<hours>\d{1,2}) hours", "0 */{hours} * * *"),
)  # fmt: skip
"""Plain words and the cron line they stand for."""
EVEN = {"minutes": 60, "hours": 24}
PLAIN_EXAMPLES = '"every weekday at 7:30", "daily at 07:30", "every 2 hours" or "every 15 minutes"'


class RecurrenceError(ValueError):
    """A cron line, a zone or plain words that say no time; the message says what to write."""


class Action(StrEnum):
    RUN = "run"
    MISSED = "missed"
    OVERLAP = "overlap"


@dataclass(frozen=True, slots=True)
class Due:
    """What to do about the newest due time; ``passed`` older ones went by without a run."""

    at: datetime
    action: Action
    passed: int = 0


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A cron line of five fields in a time zone; ``catch_up``: a missed run is made up, once."""

    cron: str
    zone: str = "UTC"
    catch_up: bool = False

    def times_after(self, moment: datetime) -> Iterator[datetime]:
        """Due times in UTC, ascending.

        Raises:
            RecurrenceError: the cron line or the zone says nothing.
        """
        if len(self.cron.split()) != 5:
            raise RecurrenceError(f"cron: {self.cron[:60]!r} has not five fields, as 30 7 * * 1-5")
        try:
            times = CronSim(self.cron, moment.astimezone(_zone(self.zone)))
        except CronSimError as error:
            raise RecurrenceError(f"cron: {self.cron[:60]!r} is wrong ({error})") from None
        return (time.astimezone(UTC) for time in times)

    def next_times(self, now: datetime, count: int = 5) -> list[datetime]:
        return list(islice(self.times_after(now), count))

    def words(self) -> str:
        """``At 07:30 on Monday through Friday``."""
        return CronSim(self.cron, datetime(2000, 1, 1, tzinfo=UTC)).explain()

    def local(self, moment: datetime) -> datetime:
        return moment.astimezone(_zone(self.zone))


def plain_to_cron(words: str) -> str:
    """The cron line of ``every weekday at 7:30`` and its like (:data:`PLAIN`).

    Raises:
        RecurrenceError: nobody can say when that is.
    """
    text = " ".join(words.lower().split())
    for pattern, cron in PLAIN:
        if found := re.fullmatch(pattern, text):
            return cron.format(**_fields(words, found.groupdict()))
    raise RecurrenceError(f"every: {words[:60]!r} is unknown; write {PLAIN_EXAMPLES}, or --cron")


def _fields(words: str, found: dict[str, str | None]) -> dict[str, object]:
    for unit, whole in EVEN.items():
        number = int(found.get(unit) or 1)
        if number == 0 or whole % number:
            raise RecurrenceError(f"every: {words!r}: {number} {unit} do not divide {whole} evenly")
    hour, minute = int(found.get("hour") or 0), int(found.get("minute") or 0)
    date = int(found.get("date") or 1)
    if hour > 23 or minute > 59 or not 1 <= date <= 31:
        raise RecurrenceError(f"every: {words[:60]!r} names a time or date that does not exist")
    day = DAYS.get(found.get("day") or "day")
    return {**found, "hour": hour, "minute": minute, "date": date, "day": day}


def due(
    recurrence: Recurrence, *, handled_until: datetime, now: datetime, is_running: bool
) -> Due | None:
    """The decision on every due time after ``handled_until`` up to ``now``; None: none is due.

    Of several due times only the newest may run. A clock that was set back leaves ``handled_until``
    ahead: then the last minute is looked at, and the rows of runs know what has run already.
    """
    start = handled_until if handled_until <= now else now - TICK
    times = list(islice(_until(recurrence, start, now), MOST_COUNTED))
    if len(times) == MOST_COUNTED:
        times = list(_until(recurrence, now - WEEK, now))
    if not times:
        return None
    late = now - times[-1] > LATE
    if late and not recurrence.catch_up:
        action = Action.MISSED
    else:
        action = Action.OVERLAP if is_running else Action.RUN
    return Due(times[-1], action, passed=len(times) - 1)


def _until(recurrence: Recurrence, start: datetime, now: datetime) -> Iterator[datetime]:
    return takewhile(lambda time: time <= now, recurrence.times_after(start))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # nobody knows it, a directory, or no name at all
        raise RecurrenceError(
            f"zone: {name[:60]!r} is unknown; write one as Europe/Berlin"
        ) from None
