from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.policy.complexity import assess
from jobs.policy.tokens import bucket_num_ctx, estimate_tokens
from llm.types import Category


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("Write a function that sorts a list", Category.CODING),
        ("Отрефактори функцию в файле app/main.py", Category.CODING),
        ("```python\nprint(1)\n```\nWhat is wrong here?", Category.CODING),
        ("Prove that the root of two is irrational", Category.REASONING),
        ("Проанализируй рынок и сравни три стратегии", Category.REASONING),
        ("Translate to German: good morning", Category.FAST),
        ("Переведи на английский: добрый день", Category.FAST),
        ("Describe this screenshot", Category.VISION),
        ("Распознай текст на скриншоте", Category.VISION),
        ("Write a letter to a customer", Category.DEFAULT),
        ("Напиши письмо клиенту о задержке поставки", Category.DEFAULT),
    ],
)
def test_the_category_is_read_off_the_text_in_two_languages(text: str, category: Category) -> None:
    assert assess("", text, {}, has_dependencies=False).category is category


def test_what_the_creator_says_wins() -> None:
    told = {"category": "reasoning", "complex": True}

    assessed = assess("", "Translate this", told, has_dependencies=False)

    assert assessed.category is Category.REASONING
    assert assessed.complexity >= 0.8
    assert "creator chose" in assessed.reason


def test_length_steps_dependencies_and_bugs_make_a_task_harder() -> None:
    plain = assess("", "Write a report", {}, has_dependencies=False).complexity

    assert assess("", "Write a report", {}, has_dependencies=True).complexity > plain
    assert assess("", "Write a report " * 200, {}, has_dependencies=False).complexity > plain
    steps = "Write a report\n1. a\n2. b\n3. c"
    assert assess("", steps, {}, has_dependencies=False).complexity > plain
    buggy = {"bug_probability": 0.9}
    assert assess("", "Write a report", buggy, has_dependencies=False).complexity > 0.8


@given(
    st.text(max_size=300),
    st.dictionaries(
        st.sampled_from(["category", "complex", "bug_probability"]),
        st.none() | st.booleans() | st.floats() | st.text() | st.lists(st.integers()),
    ),
    st.booleans(),
)
def test_any_text_and_any_metadata_give_an_assessment(
    text: str, metadata: dict[str, object], depends: bool
) -> None:
    assessed = assess(text, text, metadata, has_dependencies=depends)

    assert 0.0 <= assessed.complexity <= 1.0
    assert assessed.reason


def test_tokens_follow_the_script() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens("a" * 400) == 100
    assert estimate_tokens("я" * 400) == 160
    assert estimate_tokens("```" + "x" * 294 + "```") == 100
    assert estimate_tokens("漢" * 30) == 20


@pytest.mark.parametrize(
    ("prompt", "answer", "requested", "bucket"),
    [
        (500, 1024, 0, 8192),
        (500, 1024, None, 8192),
        (5000, 1024, 0, 8192),
        (500, 1024, 2000, 4096),
        (500, 1024, 4096, 4096),
        (5000, 1024, 4096, 8192),
        (20_000, 2000, 8192, 32_768),
    ],
)
def test_contexts_are_few_powers_of_two(
    prompt: int, answer: int, requested: int | None, bucket: int
) -> None:
    assert bucket_num_ctx(prompt, answer, requested) == bucket


@given(st.integers(0, 200_000), st.integers(1, 16_000), st.integers(0, 200_000))
def test_a_context_holds_what_was_asked_for(prompt: int, answer: int, requested: int) -> None:
    bucket = bucket_num_ctx(prompt, answer, requested)

    assert bucket in {4096 << n for n in range(7)}
    assert bucket >= min(max(prompt + answer, requested), 262_144)
