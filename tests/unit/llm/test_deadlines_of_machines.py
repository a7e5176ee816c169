"""No deadline of ours ends a request that only a long prompt or our own queue explains, and no
breaker opens for one, on any of the machines of ``tests/support/sites.toml``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from llm.breaker import CLOSED, allows, counts_against_backend, on_failure
from llm.deadlines import deadlines_for, explained, prefill_seconds
from llm.errors import FirstTokenTimeout, QueueTimeout
from llm.types import Category
from tests.support.sites import Site, read_sites

SITES = read_sites()
OWNERS_TOTAL_SECONDS, HEAVY = 300.0, 1.5
ANSWER_TOKENS = 600
USUAL_PROMPT_TOKENS = 600
"""Of the attempts that were learned from: all short, so the first token came soon."""


PROMPTS = (200, 3000, 11_898, 60_000)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
CASES = [
    (site.name, model, tokens)
    for site in SITES.values()
    for model in dict.fromkeys(site.choose.values())
    for tokens in PROMPTS
]


@dataclass(frozen=True)
class Call:
    """One of ``ahead + 1`` calls at a server that works on one at a time."""

    site: Site
    model: str
    prompt_tokens: int
    ahead: int

    @property
    def heavy(self) -> bool:
        return next(found.heavy for found in self.site.scanned if found.name == self.model)

    @property
    def per_token(self) -> float:
        return 1.0 / self.site.prefill_rate(self.model)

    @property
    def prefill(self) -> float:
        return self.prompt_tokens * self.per_token

    @property
    def queue(self) -> float:
        decode = self.site.decode_rate(self.model, streams=self.site.slots)
        return self.ahead * (USUAL_PROMPT_TOKENS * self.per_token + ANSWER_TOKENS / decode)

    @property
    def deadline(self) -> float:
        return deadlines_for(
            llm_timeout_seconds=OWNERS_TOTAL_SECONDS,
            heavy=self.heavy,
            heavy_multiplier=HEAVY,
            learned_first_token_seconds=USUAL_PROMPT_TOKENS * self.per_token,
            max_tokens=ANSWER_TOKENS,
            prompt_tokens=self.prompt_tokens,
            learned_prefill_seconds=self.per_token,
            queue_seconds=self.queue,
            resident=True,
        ).first_token_seconds

    def error(self) -> FirstTokenTimeout | None:
        """What is raised for it by a server that does what it can."""
        if self.queue + self.prefill <= self.deadline:
            return None
        return explained(
            FirstTokenTimeout("no token"),
            allowed_seconds=self.deadline,
            queue_seconds=self.queue,
            prefill_seconds=prefill_seconds(self.prompt_tokens, self.per_token),
        )


@pytest.mark.parametrize(("name", "model", "prompt_tokens"), CASES)
def test_a_first_token_that_is_late_by_prompt_or_queue_costs_nothing(
    name: str, model: str, prompt_tokens: int
) -> None:
    site = SITES[name]
    for ahead in range(site.limit):
        call = Call(site, model, prompt_tokens, ahead)
        owners_total = OWNERS_TOTAL_SECONDS * (HEAVY if call.heavy else 1)

        assert isinstance(call.error(), QueueTimeout | None) or call.prefill > owners_total


@pytest.mark.parametrize("name", SITES)
def test_no_machine_opens_a_breaker_for_prompts_and_queues(name: str) -> None:
    """Every call that may be in flight, of every length, one after another: none succeeds."""
    site = SITES[name]
    state = CLOSED
    for _, model, prompt_tokens in (case for case in CASES if case[0] == name):
        for ahead in range(site.limit):
            error = Call(site, model, prompt_tokens, ahead).error()
            if error is not None and counts_against_backend(error):
                state = on_failure(state, NOW)

    assert allows(state, NOW)
    assert state.failures == 0


def test_the_machines_are_slow_enough_to_show_it() -> None:
    """Some prompt takes longer than the 30 s that a learned deadline once allowed, and some longer
    than the owner's total."""
    slow = SITES["CPU only"]
    model = slow.choose[Category.CODING]
    assert Call(slow, model, 11_898, ahead=0).prefill > 100.0
    assert isinstance(Call(slow, model, 60_000, ahead=0).error(), FirstTokenTimeout)
