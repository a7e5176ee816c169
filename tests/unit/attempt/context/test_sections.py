from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.attempt.context.files import gather
from jobs.attempt.context.sections import LINES_AFTER, LINES_BEFORE, relevant


def count_words(text: str) -> int:
    return len(text.split())


def numbered(count: int, **marks: str) -> str:
    lines = [f"line {number}" for number in range(1, count + 1)]
    for name, text in marks.items():
        lines[int(name.removeprefix("at")) - 1] = text
    return "\n".join(lines)


def ranges(text: str, *keywords: str, budget: int) -> list[tuple[int, int]]:
    found = relevant(text, keywords, budget_tokens=budget, estimate=count_words)
    return [(section.first, section.last) for section in found]


def test_a_text_that_fits_is_taken_whole() -> None:
    assert ranges(numbered(10), "none", budget=20) == [(1, 10)]


def test_a_hit_is_taken_with_the_lines_around_it() -> None:
    text = numbered(500, at200="the lease expires")

    assert ranges(text, "Lease", budget=100) == [(200 - LINES_BEFORE, 200 + LINES_AFTER)]


def test_overlapping_sections_are_joined() -> None:
    text = numbered(500, at200="a lease", at220="a lease")

    assert ranges(text, "lease", budget=200) == [(200 - LINES_BEFORE, 220 + LINES_AFTER)]


def test_sections_with_more_keywords_come_first_and_stand_in_file_order() -> None:
    text = numbered(900, at100="a lease", at400="a lease of a slot", at700="a slot")

    assert ranges(text, "lease", "slot", budget=80) == [(388, 424)]
    assert len(ranges(text, "lease", "slot", budget=160)) == 2
    assert ranges(text, "lease", "slot", budget=160)[0][0] < 388


def test_without_a_hit_the_beginning_is_taken() -> None:
    assert ranges(numbered(500), "none", budget=21) == [(1, 10)]


def test_a_giant_line_is_cut_around_its_keyword() -> None:
    text = "a" * 50_000 + " needle " + "b" * 50_000

    found = relevant(text, ["needle"], budget_tokens=600, estimate=lambda t: len(t) // 2)

    assert "needle" in found[0].text
    assert len(found[0].text) < 1200


def test_nothing_is_taken_where_nothing_fits() -> None:
    assert relevant("a b c", [], budget_tokens=0, estimate=count_words) == ()


@given(
    marks=st.dictionaries(st.integers(1, 300), st.sampled_from(["alpha", "beta"]), max_size=9),
    budget=st.integers(0, 700),
)
def test_sections_never_overlap_nor_exceed_the_budget(marks: dict[int, str], budget: int) -> None:
    text = numbered(300, **{f"at{number}": word for number, word in marks.items()})

    found = relevant(text, ["alpha", "beta"], budget_tokens=budget, estimate=count_words)

    assert sum(section.tokens for section in found) <= budget
    assert all(a.last < b.first for a, b in pairwise(found))
    lines = text.split("\n")
    assert all("\n".join(lines[s.first - 1 : s.last]) == s.text for s in found)


@pytest.mark.parametrize("budget", [60, 200, 1000, 4000])
def test_the_context_as_a_whole_keeps_its_budget(tmp_path: Path, budget: int) -> None:
    (tmp_path / "a.py").write_text(numbered(2000, at900="def lease(): ...", at1500="lease()"))
    (tmp_path / "b.py").write_text(numbered(3000, at100="lease and slot"))
    (tmp_path / "c.py").write_text("lease = 1\n")

    result = gather(["a.py", "b.py", "c.py"], ["lease"], roots=[tmp_path], budget_tokens=budget)

    assert result.tokens <= budget
    assert len(result.used) + len(result.refused) == 3
    if budget >= 1000:
        assert "def lease(): ..." in result.text
        assert "lease and slot" in result.text
        assert "(parts of 2000 lines)" in result.text
