"""The common beginning of prompts, in blocks."""

from __future__ import annotations

from llm.mlx_server.recent_prompts import BLOCK_TOKENS, RECENT_PROMPTS, RecentPrompts

PERSONA = list(range(100))
FILE = list(range(1000, 1200))


def test_a_file_after_the_persona_is_common_from_its_second_prompt_on() -> None:
    recent = RecentPrompts()

    found = [recent.common_tokens([*PERSONA, *FILE, task, task]) for task in (7, 8, 9)]
    other_file = recent.common_tokens([*PERSONA, *reversed(FILE), 7])

    assert found == [0, 296, 296]
    assert other_file == 96


def test_the_last_token_is_always_left_to_compute() -> None:
    recent = RecentPrompts()
    tokens = list(range(2 * BLOCK_TOKENS))
    recent.common_tokens(tokens)

    assert recent.common_tokens(tokens) == BLOCK_TOKENS
    assert recent.common_tokens([]) == 0


def test_old_prompts_are_forgotten() -> None:
    recent = RecentPrompts()
    recent.common_tokens(FILE)
    for number in range(RECENT_PROMPTS):
        recent.common_tokens([number])

    assert recent.common_tokens(FILE) == 0
