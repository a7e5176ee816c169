"""No deadline of ours ends a request that only a long prompt or our own queue explains, on any of
the machines of ``tests/support/sites.toml``."""

from __future__ import annotations

import pytest

from llm.deadlines import deadlines_for, prefill_seconds, queueing_explains
from llm.types import Category
from tests.support.sites import Site, read_sites

SITES = read_sites()
OWNERS_TOTAL_SECONDS, HEAVY = 300.0, 1.5
ANSWER_TOKENS = 600
USUAL_PROMPT_TOKENS = 600
"""Of the attempts that were learned from: all short, so the first token came soon."""


def _cases() -> list[tuple[str, str, int]]:
    return [
        (site.name, model, tokens)
        for site in SITES.values()
        for model in dict.fromkeys(site.choose.values())
        for tokens in (200, 3000, 11_898)
    ]


def _heavy(site: Site, model: str) -> bool:
    return next(found.heavy for found in site.scanned if found.name == model)


@pytest.mark.parametrize(("name", "model", "prompt_tokens"), _cases())
def test_a_first_token_that_is_late_by_prompt_or_queue_costs_nothing(
    name: str, model: str, prompt_tokens: int
) -> None:
    """The server works on one request at a time, though we may send it ``limit`` of them."""
    site = SITES[name]
    heavy = _heavy(site, model)
    per_token = 1.0 / site.prefill_rate(model)
    decode = site.decode_rate(model, streams=site.slots)
    service = USUAL_PROMPT_TOKENS * per_token + ANSWER_TOKENS / decode
    for ahead in range(site.limit):
        queue = ahead * service
        deadlines = deadlines_for(
            llm_timeout_seconds=OWNERS_TOTAL_SECONDS,
            heavy=heavy,
            heavy_multiplier=HEAVY,
            learned_first_token_seconds=USUAL_PROMPT_TOKENS * per_token,
            max_tokens=ANSWER_TOKENS,
            learned_tokens_per_second=decode,
            prompt_tokens=prompt_tokens,
            learned_prefill_seconds=per_token,
            queue_seconds=queue,
            resident=True,
        )

        really = queue + prompt_tokens * per_token
        in_time = really <= deadlines.first_token_seconds
        excused = queueing_explains(
            allowed_seconds=deadlines.first_token_seconds,
            queue_seconds=queue,
            prefill_seconds=prefill_seconds(prompt_tokens, per_token),
        )
        beyond_the_owner = prompt_tokens * per_token > OWNERS_TOTAL_SECONDS * (
            HEAVY if heavy else 1
        )
        assert in_time or excused or beyond_the_owner


def test_the_machines_are_slow_enough_to_show_it() -> None:
    """Some prompt takes longer than the 30 s that a learned deadline once allowed."""
    slow = SITES["CPU only"]
    model = slow.choose[Category.CODING]
    assert 11_898 / slow.prefill_rate(model) > 100.0
