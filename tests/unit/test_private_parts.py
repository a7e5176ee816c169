"""The places where this project leans on private parts of a library, each checked by itself.

A new version of dramatiq or mlx-lm may change them without a word. Then a line here fails and says
what leans on the part, so that the change is found here and not in a server that behaves oddly.
"""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from pathlib import Path

import dramatiq
import pytest
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer


@dataclass(frozen=True, slots=True)
class Part:
    """``words`` stand in the source of ``owner``, an object of the library that ``user`` needs."""

    library: str
    owner: str
    words: tuple[str, ...]
    user: str


PARTS = (
    Part(
        "dramatiq",
        "brokers.redis:_RedisConsumer.__init__",
        ("self.prefetch", "self.timeout", "self.misses", "self.broker", "self.queue_name"),
        "jobs/queues/broker.py: WakingConsumer reads and sets these",
    ),
    Part(
        "dramatiq",
        "brokers.redis:_RedisConsumer.__next__",
        ("max_backoff=self.timeout", "self.outstanding_message_count < self.prefetch"),
        "jobs/queues/broker.py: a timeout of 0 makes the consumer fetch once without sleeping",
    ),
    Part(
        "dramatiq",
        "brokers.redis:RedisBroker._dispatch",
        ('self.scripts["dispatch"]', "command,\n                timestamp,\n"),
        "jobs/queues/broker.py: _OnSharedClock replaces the second argument of the script",
    ),
    Part(
        "dramatiq",
        "worker:Worker._add_worker",
        ("worker_timeout=self.worker_timeout", "self.workers.append"),
        "jobs/worker.py: QuickToStop gives threads another timeout than consumers",
    ),
    Part(
        "dramatiq",
        "worker:Worker.__init__",
        ("self.consumers", "self.workers", "self.queue_prefetch"),
        "jobs/worker.py: the watchdog asks these threads whether they live",
    ),
    Part(
        "dramatiq",
        "brokers.redis:RedisBroker.declare_queue",
        ("self.queues", 'emit_before("declare_queue"', 'emit_after("declare_queue"'),
        "jobs/queues/broker.py: WakingBroker declares a queue without its delay queue",
    ),
    Part(
        "mlx-lm",
        "generate:GenerationBatch.__init__",
        (
            "self._current_tokens",
            "self._next_tokens",
            "self._current_logprobs",
            "self._next_logprobs",
            "self._token_context",
            "self.fallback_sampler",
            "self.logits_processors",
        ),
        "llm/mlx_server/token_batch.py: TokenBatch computes these itself",
    ),
    Part(
        "mlx-lm",
        "generate:GenerationBatch._step",
        ("async_eval", "self._token_context", "update_and_fetch"),
        "llm/mlx_server/token_batch.py: TokenBatch replaces this step by a cheaper one",
    ),
    Part(
        "mlx-lm",
        "generate:BatchGenerator.__init__",
        ("self._generation_batch", "self._prompt_batch", "self.sampler", "self.model"),
        "llm/mlx_server/token_batch.py: compute_tokens_only puts its own batches here",
    ),
    Part(
        "mlx-lm",
        "generate:GenerationBatch.next",
        ("self._step()", "self._num_tokens[i] += 1", "self._matchers[i].advance(tokens[i])"),
        "llm/mlx_server/token_batch.py: counts a new sequence from -1 and wraps its matcher",
    ),
    Part(
        "mlx-lm",
        "generate:PromptProcessingBatch.generate",
        ("self.prompt_cache", "self.tokens", "self.stop_sequences", "self.max_tokens"),
        "llm/mlx_server/token_batch.py: _PromptBatch builds new sequences from these",
    ),
    Part(
        "mlx-lm",
        "generate:BatchGenerator._next",
        ("self._prompt_batch.split(split).generate(last_inputs)", "self._prompt_batch.extend("),
        "llm/mlx_server/token_batch.py: _PromptBatch.generate gets one last token per sequence",
    ),
    Part(
        "mlx-lm",
        "tokenizer_utils:TokenizerWrapper.__init__",
        ("self._tokenizer",),
        "llm/mlx_server/tokenizers.py: a grammar needs the tokenizer inside the wrapper",
    ),
)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.owner)
def test_a_private_part_that_we_lean_on_is_as_it_was(part: Part) -> None:
    module, path = part.owner.split(":")
    found: object = importlib.import_module(f"{part.library.replace('-', '_')}.{module}")
    for name in path.split("."):
        found = getattr(found, name, None)

    assert callable(found), f"{part.library} no longer has {part.owner}. {part.user}"
    source = inspect.getsource(found)
    missing = [word for word in part.words if word not in source]
    assert not missing, f"{part.library}'s {part.owner} lost {missing}. {part.user}"


def test_a_consumer_of_dramatiq_is_built_from_the_four_things_that_we_pass() -> None:
    parameters = [*inspect.signature(_RedisConsumer.__init__).parameters]

    assert parameters == ["self", "broker", "queue_name", "prefetch", "timeout"], (
        "jobs/queues/broker.py builds WakingConsumer from these, in this order"
    )
    assert isinstance(inspect.getattr_static(RedisBroker, "consumer_class"), property), (
        "jobs/queues/broker.py overrides the property consumer_class"
    )


@pytest.mark.parametrize("key", [".msgs", ".XQ", "__acks__", "__heartbeats__"])
def test_dramatiq_keeps_its_messages_under_the_keys_that_we_read(key: str) -> None:
    folder = Path(inspect.getfile(dramatiq)).parent / "brokers"
    scripts = "".join(script.read_text() for script in folder.rglob("*.lua"))

    assert key in scripts, (
        f"dramatiq no longer writes {key}: recovery, maintenance and the queue page read it"
    )
