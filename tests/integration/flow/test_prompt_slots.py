"""A server whose slots each keep the prompt they read last: each slot goes on with one persona."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from models import database
from tests.support.simulators import simulator
from tests.support.system import System, running_system

SLOTS = 3
MODEL = {
    "name": "chat", "context_tokens": 8192, "load_seconds": 0.1, "slots": SLOTS,
    "prefill_tokens_per_second": 4000, "decode_tokens_per_second": 400,
}  # fmt: skip
PROFILE = {
    "models": [MODEL], "slots": SLOTS, "prefix_cache": "slots", "lists_as": "llama-server",
    "resident_at_start": True, "min_answer_tokens": 30, "max_answer_tokens": 120,
}  # fmt: skip
EXPERTS, TASKS = 12, 72
LEAST_KEPT = 0.8
"""Of the persona tokens that the best order need not read again: a plan that is made anew between
two tasks costs a few. In the order of the block alone they keep a half."""


@pytest.fixture
def llama(migrated_url: str, redis_url: str, tmp_path: Path) -> Iterator[System]:
    with simulator("openai", time_scale=2.0, profile=PROFILE, directory=tmp_path) as server:
        backends = tmp_path / "backends.toml"
        backends.write_text(
            f'[[backend]]\nname = "llama"\nkind = "openai"\nurl = "{server.url}"\n'
            f"max_concurrent = {SLOTS}\n"
        )
        with running_system(
            migrated_url, redis_url, tmp_path, KOS_BACKENDS_FILE=str(backends),
            OLLAMA_API_URL="disabled", MLX_API_URL="disabled",
        ) as running:  # fmt: skip
            yield running
    database.close_all()


def test_each_slot_keeps_to_one_persona(llama: System) -> None:
    chance = random.Random(1)
    words = [f"Expert {n} answers in short sentences. " * 40 for n in range(EXPERTS)]
    ids = [
        llama.sql(
            "INSERT INTO experts (name, role, department, system_prompt) "
            "VALUES (%s, 'writer', 'Writing', %s) RETURNING id::text",
            (f"Expert {n}", persona),
        )[0]["id"]
        for n, persona in enumerate(words)
    ]
    for number in range(TASKS):
        llama.insert(
            f"Task {number}",
            f"Summarise topic {number} in a few words.",
            assignee_expert_id=chance.choice(ids),
        )

    llama.start("control", "llm-llama", "listener")
    llama.wait(lambda: llama.counts() == {"completed": TASKS}, what="all answered")

    (read,) = llama.sql(
        "SELECT count(*) AS calls, sum(cached_prompt_tokens) AS kept FROM kos_attempts"
    )
    assert read["calls"] == TASKS
    persona_tokens = len(words[0]) // 256 * 64
    possible = (TASKS - EXPERTS) * persona_tokens
    assert read["kept"] >= LEAST_KEPT * possible, (read, possible)
