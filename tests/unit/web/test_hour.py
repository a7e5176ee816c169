"""The last hour of attempts as the first screen counts it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from console.web.figures.hour import _summary
from models.attempt import MinuteSums

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)


def sums(backend: str, model: str, count: int, *, code: str | None, back: int = 0) -> MinuteSums:
    minute = NOW.replace(second=0) - timedelta(minutes=back)
    outcome = "failed" if code else "completed"
    return MinuteSums(minute, backend, model, outcome, code, count, 0, 0, *(0.0,) * 4)


def test_failures_are_counted_by_code_and_by_where_they_ended() -> None:
    rows = [
        sums("mlx", "small", 2, code="echo", back=1),
        sums("mlx", "small", 9, code=None),
        sums("ollama", "large", 5, code="timeout"),
        sums("mlx", "small", 1, code="echo"),
        sums("ollama", "small", 1, code="echo"),
        sums("", "", 1, code="no_server"),
    ]
    minutes: dict[datetime, list[MinuteSums]] = {}
    for row in rows:
        minutes.setdefault(row.minute, []).append(row)

    failures = _summary(minutes, NOW).failures

    assert list(failures) == ["timeout", "echo", "no_server"]
    assert failures["echo"].most_common() == [("mlx/small", 3), ("ollama/small", 1)]
    assert failures["no_server"].most_common() == [("", 1)]
