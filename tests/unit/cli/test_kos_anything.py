"""Whatever people type or pipe in: an answer or a named error, never a surprise."""

from __future__ import annotations

import io
import unicodedata
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from console.cli.text import one_line, safe
from console.cli.watch import ARROWS, PLAIN, named
from console.operations import expert_fields
from console.operations.errors import InvalidInput
from console.operations.files import allowed_file
from console.operations.ids import is_whole
from console.operations.submission_lines import read_lines
from console.operations.times import ago, parse_since, span
from jobs.policy.metadata import check_submission

NOW = datetime(2026, 3, 14, 15, 30, tzinfo=UTC)
JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=10,
)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_as_lines(data: bytes) -> None:
    lines = list(read_lines(io.BytesIO(data)))

    numbers = [line.number for line in lines]
    assert numbers == sorted(set(numbers))
    assert all(1 <= number <= len(data.splitlines()) + 1 for number in numbers)
    for line in lines:
        if line.error is None:
            check_submission(line.value)


@given(st.text(max_size=60))
def test_any_text_is_a_time_or_a_named_error(text: str) -> None:
    try:
        moment = parse_since(text, now=NOW)
    except InvalidInput:
        return
    assert moment.tzinfo is not None


@given(st.floats(min_value=-1e9, max_value=1e9))
def test_any_moment_can_be_told(seconds: float) -> None:
    moment = datetime.fromtimestamp(NOW.timestamp() - seconds, tz=UTC)

    assert ago(moment, now=NOW)
    assert span(abs(seconds))


@given(st.text())
def test_no_text_can_steer_the_terminal(text: str) -> None:
    kept = {"\n", "\t"}

    assert all(unicodedata.category(c) != "Cc" or c in kept for c in safe(text))
    assert "\n" not in one_line(text)
    assert len(one_line(text, max_chars=20)) <= 20


@given(st.text(max_size=40))
def test_any_path_is_inside_or_refused(name: str) -> None:
    root = Path("/nonexistent-root")

    path, problem = allowed_file(name, base=root, roots=[root])

    assert path is None
    assert problem


@given(st.binary(max_size=30))
def test_any_bytes_are_keys_or_nothing(typed: bytes) -> None:
    assert set(named(typed)) <= {*PLAIN.values(), *ARROWS.values()}


@given(st.text(max_size=40))
def test_what_counts_as_a_whole_id_is_one(text: str) -> None:
    assert not is_whole(text) or len(text) == 36


@given(JSONISH)
def test_any_value_is_an_expert_or_a_named_error(value: object) -> None:
    problem = expert_fields.problem_of(value)

    assert problem is None or ":" in problem
