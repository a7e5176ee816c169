"""Times as people write and say them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from console.operations.errors import InvalidInput

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)
_UNITS = {
    1: "s sec secs second seconds",
    60: "m min mins minute minutes",
    3600: "h hr hrs hour hours",
    86_400: "d day days",
    604_800: "w week weeks",
}
_UNIT_SECONDS = {name: seconds for seconds, names in _UNITS.items() for name in names.split()}
_STEPS = (("d", 86_400), ("h", 3600), ("min", 60))


def parse_since(written: str, *, now: datetime) -> datetime:
    """``10m``, ``2h``, ``3 days``, ``today``, ``2026-01-31`` or a full ISO time, as UTC.

    A day, and a time without a zone, are those of ``now``'s zone.

    Raises:
        InvalidInput: it is none of these.
    """
    text = written.strip()
    matched = _SPAN.fullmatch(text.removesuffix(" ago").strip())
    if matched and matched[2].lower() in _UNIT_SECONDS:
        span_seconds = float(matched[1]) * _UNIT_SECONDS[matched[2].lower()]
        try:
            return now - timedelta(seconds=span_seconds)
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)
    if text.lower() in {"today", "yesterday"}:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return (midnight - timedelta(days=int(text.lower() == "yesterday"))).astimezone(UTC)
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"since: {written[:60]!r} is no time; write 10m, 2h, 3d, today or 2026-01-31T12:00"
        ) from None


def ago(moment: datetime | None, *, now: datetime) -> str:
    """``just now``, ``3 min ago``, ``in 2 h``; a date for more than a month."""
    if moment is None:
        return ""
    seconds = (now - moment).total_seconds()
    if abs(seconds) > 30 * 86_400:
        return moment.strftime("%Y-%m-%d")
    if seconds < -1:
        return f"in {span(-seconds)}"
    return "just now" if seconds < 5 else f"{span(seconds)} ago"


def span(seconds: float | None) -> str:
    """``0.4 s``, ``12 s``, ``3 min``, ``2 h 5 min``, ``4 d 2 h``; empty for None.

    A negative one is none: what began after the moment it is counted to has just begun.
    """
    if seconds is None:
        return ""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 0.05 or seconds == 0 else f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return _two_largest(round(seconds))


def about(low: float, high: float) -> str:
    """``about 4-6 min``: a range of seconds in one unit, that of its upper end; never empty."""
    units = (("h", 3600), ("min", 60), ("s", 1))
    unit, size = next(one for one in units if high >= 1.5 * one[1] or one[1] == 1)
    first, last = max(0, math.floor(low / size)), math.ceil(high / size)
    return f"about {first}-{last} {unit}" if first < last else f"about {last} {unit}"


def _two_largest(seconds: int) -> str:
    parts: list[str] = []
    for index, (unit, size) in enumerate(_STEPS):
        count, rest = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
            if index + 1 < len(_STEPS):
                smaller, smaller_size = _STEPS[index + 1]
                if rest >= smaller_size:
                    parts.append(f"{rest // smaller_size} {smaller}")
            break
    return " ".join(parts)
