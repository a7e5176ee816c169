"""Simulated answers look like good answers to every check, and say that they are simulated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.policy.validation.judge import judge
from jobs.policy.validation.types import Answer, Request
from llm.simulator.answers import answer, estimate_tokens, keywords, thoughts, tokens

ENGLISH = [
    "Explain how database indexes speed up queries",
    "You are an expert.\n\nTask: analyse customer churn and give recommendations.",
    "Why does error handling matter? Answer in three sentences.",
    "Yes or no: is caching useful?",
    "haiku",
]
RUSSIAN = [
    "Объясни, как индексы ускоряют запросы в базе данных",
    "Ты эксперт. Проанализируй отток клиентов и дай рекомендации.",
    "Почему важна обработка ошибок в Python?",
]


def say(prompt: str, *, least: int = 60, most: int = 200) -> str:
    return "".join(answer(prompt, model="qwq:32b", min_tokens=least, max_tokens=most))


@pytest.mark.parametrize("prompt", ENGLISH + RUSSIAN)
def test_answers_pass_the_judge(prompt: str) -> None:
    verdict = judge(Answer(say(prompt)), Request(prompt))
    assert verdict.ok, verdict.reason


@pytest.mark.parametrize("prompt", ENGLISH + RUSSIAN)
def test_answers_are_marked_and_the_same_each_time(prompt: str) -> None:
    assert say(prompt).startswith("[simulated qwq:32b] ")
    assert say(prompt) == say(prompt)


@pytest.mark.parametrize("prompt", RUSSIAN)
def test_russian_is_answered_in_russian(prompt: str) -> None:
    said = say(prompt)
    russian = sum("а" <= char.lower() <= "я" for char in said)
    assert russian > sum(char.isalpha() for char in said) * 0.8
    assert any("а" <= char <= "я" for char in "".join(thoughts(prompt)))


@pytest.mark.parametrize(
    ("prompt", "language"),
    [
        ("Write a note about trains. Answer in Russian.", "ru"),
        ("Напиши заметку о поездах на английском языке.", "en"),
        ("Объясни этот код\n\n## Files\n\n" + "def run(queue): return queue.pop()\n" * 100, "ru"),
    ],
)
def test_the_language_asked_for_or_that_of_the_task_is_used(prompt: str, language: str) -> None:
    said = say(prompt)
    russian = sum("а" <= char.lower() <= "я" for char in said)
    share = russian / sum(char.isalpha() for char in said)
    assert share > 0.5 if language == "ru" else share < 0.3


def test_different_prompts_have_different_answers() -> None:
    assert len({say(prompt) for prompt in ENGLISH + RUSSIAN}) == len(ENGLISH + RUSSIAN)


def test_answers_keep_to_their_length_and_end_with_a_sentence() -> None:
    for number in range(200):
        pieces = answer(
            f"Topic number {number} about trains", model="m", min_tokens=60, max_tokens=200
        )
        assert 30 <= len(pieces) <= 200
        assert pieces[-1] == "."


def test_an_answer_of_two_tokens_is_two_tokens() -> None:
    assert answer("hello there", model="m", min_tokens=2, max_tokens=2) == [
        "[simulated m]",
        " Done with hello.",
    ]


@given(st.text(max_size=300))
def test_any_prompt_has_an_answer(prompt: str) -> None:
    assert say(prompt).strip()
    assert len(list(keywords(prompt))) >= 4
    assert estimate_tokens(prompt) >= 0
    say(prompt).encode()


@given(st.text(max_size=300))
def test_tokens_joined_are_the_text(text: str) -> None:
    assert "".join(tokens(text)) == text
