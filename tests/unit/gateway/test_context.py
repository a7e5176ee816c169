"""The context that a chat asks of a server: one of the sizes that tasks use."""

from __future__ import annotations

import json

import pytest

from gateway.calls import Api, read_call
from gateway.desk import context_of


@pytest.mark.parametrize(
    ("num_ctx", "trained", "expected"),
    [
        (None, 131_072, 8192),
        (2048, 131_072, 8192),
        (12_000, 131_072, 16_384),
        (9_999_999, 131_072, 131_072),
        (None, 4096, 4096),
        (True, None, 8192),
        ("12", None, 8192),
    ],
)
def test_a_chat_shares_the_sizes_of_tasks_and_stays_within_the_trained_one(
    num_ctx: object, trained: int | None, expected: int
) -> None:
    options = {} if num_ctx is None else {"num_ctx": num_ctx}
    body = {"model": "m", "prompt": "Hi", "options": options}
    call = read_call(Api.OLLAMA_GENERATE, json.dumps(body).encode())

    assert context_of(call, trained_tokens=trained) == expected
