from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.attempt.context.keyword_extraction import MAX_KEYWORDS, keywords_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Why does `claim()` fail in models.task?", ("claim()", "models.task")),
        ("Fix parse_date and HttpClient", ("parse_date", "HttpClient")),
        ("Опиши продление аренды", ("продлен", "аренд")),
        ("do it", ()),
    ],
)
def test_names_come_first_then_long_words_without_endings(
    text: str, expected: tuple[str, ...]
) -> None:
    assert keywords_of(text)[: len(expected)] == expected


@given(st.text(max_size=500))
def test_keywords_are_few_and_never_blank(text: str) -> None:
    found = keywords_of(text)

    assert len(found) <= MAX_KEYWORDS
    assert all(found)
