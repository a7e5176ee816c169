"""Two ways to decode on one model: many requests as a batch, or one after the other.

Both belong to the engine thread. After ``remove`` or a finish no object of a request may remain: a
forgotten response object would keep its key-value cache in memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import mlx.core as mx
from mlx_lm.generate import BatchGenerator, StopSequences, generate_step
from mlx_lm.models.cache import LRUPromptCache, make_prompt_cache

from llm.mlx_server.job import EngineJob, FinishReason, PromptTokens
from llm.mlx_server.recent_prompts import RecentPrompts
from llm.mlx_server.sampling import LogitsProcessor, processors_for, sampler_for
from llm.mlx_server.stored_prefixes import StoredPrefixes
from llm.mlx_server.token_batch import compute_tokens_only

PREFILL_BATCH = 8
PREFIXES_PER_MODEL = 64


class Emission(NamedTuple):
    """One token of one request. ``token`` None: the end token is not text."""

    job: EngineJob
    token: int | None
    finish: FinishReason | None


class Decoder(Protocol):
    capacity: int

    def insert(self, job: EngineJob) -> None: ...
    def remove(self, job: EngineJob) -> None: ...
    def step(self) -> list[Emission]: ...
    def forget_prefixes(self) -> None: ...
    def close(self) -> None: ...

    @property
    def prefix_bytes(self) -> int: ...


class DecoderOptions(NamedTuple):
    """``on_progress`` is called for every prefilled chunk where one step takes several;
    ``stored_prefixes`` are those on disk."""

    capacity: int
    prefill_step_tokens: int
    prefix_cache_bytes: int
    vocabulary: int | None
    on_progress: Callable[[], None]
    stored_prefixes: StoredPrefixes | None = None


def can_batch(model: Any) -> bool:
    return all(hasattr(cache, "merge") for cache in make_prompt_cache(model))


def make_decoder(model: Any, options: DecoderOptions) -> Decoder:
    return (BatchedDecoder if can_batch(model) else SequentialDecoder)(model, options)


class BatchedDecoder:
    """Continuous batching with a cache of shared prompt prefixes. If another request of the batch
    is computing the prefix that a request needs, that request waits and reuses it."""

    def __init__(self, model: Any, options: DecoderOptions) -> None:
        self.capacity = options.capacity
        self._options = options
        self._generator: Any = BatchGenerator(
            model,
            completion_batch_size=options.capacity,
            prefill_batch_size=min(PREFILL_BATCH, options.capacity),
            prefill_step_size=options.prefill_step_tokens,
        )
        compute_tokens_only(self._generator)
        self._prefixes = LRUPromptCache(PREFIXES_PER_MODEL, options.prefix_cache_bytes)
        self._recent = RecentPrompts()
        self._jobs: dict[int, EngineJob] = {}
        self._uids: dict[EngineJob, int] = {}
        self._computing: dict[int, list[int]] = {}
        """Uid -> the prefix that is cached once this request has computed it."""
        self._followers: dict[EngineJob, int] = {}
        """Requests that wait for such a prefix, and how many of their tokens are shared."""

    @property
    def prefix_bytes(self) -> int:
        return int(self._prefixes.nbytes)

    def insert(self, job: EngineJob) -> None:
        assert job.prompt is not None
        self._begin(job, shared=self._shared_tokens(job.prompt), may_wait=True)

    def remove(self, job: EngineJob) -> None:
        self._followers.pop(job, None)
        uid = self._uids.pop(job, None)
        if uid is not None:
            del self._jobs[uid]
            self._generator.remove([uid])
            if self._computing.pop(uid, None) is not None:
                self._begin_followers()

    def step(self) -> list[Emission]:
        prompts, tokens = self._generator.next()
        if self._computing:
            self._keep_prefixes(prompts)
        emissions = []
        for response in tokens:
            job = self._jobs[response.uid]
            token = None if response.finish_reason == "stop" else response.token
            emissions.append(Emission(job, token, response.finish_reason))
            if response.finish_reason is not None:
                del self._jobs[response.uid], self._uids[job]
        return emissions

    def forget_prefixes(self) -> None:
        self._prefixes.trim_to(n_sequences=0)

    def close(self) -> None:
        self._generator.close()
        self.forget_prefixes()

    def _shared_tokens(self, prompt: PromptTokens) -> int:
        """The length of the shared prefix: the system message, or more where a recent prompt had
        the same beginning (shared files)."""
        if not self._options.prefix_cache_bytes:
            return 0
        return max(prompt.shared_tokens, self._recent.common_tokens(prompt.tokens))

    def _begin(self, job: EngineJob, *, shared: int, may_wait: bool) -> None:
        assert job.prompt is not None
        tokens = list(job.prompt.tokens)
        sampler = sampler_for(job.sampling, vocabulary=self._options.vocabulary)
        cache, rest = self._cached_beginning(tokens[:-1])
        cached = len(tokens) - 1 - len(rest)
        if cached < shared and may_wait and self._is_computed(tokens[:shared]):
            self._followers[job] = shared
            return
        segments = [part for part in (tokens[cached:shared], tokens[max(cached, shared) :]) if part]
        (uid,) = self._generator.insert_segments(
            [segments],
            max_tokens=[job.max_tokens],
            caches=[cache],
            all_tokens=[tokens[:cached]],
            samplers=[sampler],
            logits_processors=[_processors(job)],
            stop_sequences=[_stop_sequences(job.eos_token_ids)],
        )
        job.cached_tokens = cached
        self._jobs[uid] = job
        self._uids[job] = uid
        if len(segments) > 1:
            self._computing[uid] = tokens[:shared]

    def _cached_beginning(self, tokens: list[int]) -> tuple[Any, list[int]]:
        """The cache of the longest beginning of ``tokens``, and the tokens still to be computed."""
        if not tokens:
            return None, []
        cache, rest = self._prefixes.fetch_nearest_cache(None, tokens)
        stored = self._options.stored_prefixes
        found = stored.longest(tokens, beyond=len(tokens) - len(rest)) if stored else None
        if found is not None:
            self._keep_prefix(tokens[: found.length], found.cache)
            cache, rest = self._prefixes.fetch_nearest_cache(None, tokens)
        return cache, rest

    def _keep_prefix(self, tokens: list[int], cache: list[Any]) -> None:
        self._prefixes.insert_cache(None, tokens, cache, cache_type="system")

    def _is_computed(self, prefix: list[int]) -> bool:
        """Whether a request of the batch is computing ``prefix``, or a longer or shorter version of
        it."""
        return any(
            prefix[: len(other)] == other[: len(prefix)] for other in self._computing.values()
        )

    def _keep_prefixes(self, prompts: list[Any]) -> None:
        done = [
            response.uid
            for response in prompts
            if response.end_of_segment and self._computing.pop(response.uid, None) is not None
        ]
        for cache, tokens in self._generator.extract_cache(done).values():
            self._keep_prefix(list(tokens), cache)
            if self._options.stored_prefixes is not None:
                self._options.stored_prefixes.keep(tokens, cache)
        if done:
            self._begin_followers()

    def _begin_followers(self) -> None:
        """Start the requests that waited for a prefix. Each waits only once: a prefix too large to
        cache must not make them run one after the other."""
        followers, self._followers = self._followers, {}
        for job, shared in followers.items():
            self._begin(job, shared=shared, may_wait=False)


class SequentialDecoder:
    """One request at a time, for models whose cache cannot be batched."""

    capacity = 1
    prefix_bytes = 0

    def __init__(self, model: Any, options: DecoderOptions) -> None:
        self._model = model
        self._options = options
        self._job: EngineJob | None = None
        self._tokens: Iterator[tuple[Any, Any]] | None = None

    def insert(self, job: EngineJob) -> None:
        assert job.prompt is not None
        if self._job is not None:
            raise RuntimeError("this model takes one request at a time")
        self._job = job
        self._tokens = generate_step(
            mx.array(job.prompt.tokens),
            self._model,
            max_tokens=job.max_tokens,
            sampler=sampler_for(job.sampling, vocabulary=self._options.vocabulary),
            logits_processors=_processors(job) or None,
            prefill_step_size=self._options.prefill_step_tokens,
            prompt_progress_callback=functools.partial(self._prefilled, job),
        )

    def remove(self, job: EngineJob) -> None:
        if job is self._job:
            self._job = self._tokens = None

    def step(self) -> list[Emission]:
        job, tokens = self._job, self._tokens
        if job is None or tokens is None:
            return []
        try:
            token, _ = next(tokens)
        except _CancelledInPrefill:
            self.remove(job)
            return []
        finish: FinishReason | None = None
        if token in job.eos_token_ids:
            finish = "stop"
        elif job.completion_tokens + 1 >= job.max_tokens:
            finish = "length"
        if finish is not None:
            self.remove(job)
        return [Emission(job, None if finish == "stop" else token, finish)]

    def forget_prefixes(self) -> None:
        """Nothing to do: this decoder caches no prefixes."""

    def close(self) -> None:
        self._job = self._tokens = None

    def _prefilled(self, job: EngineJob, done: int, total: int) -> None:
        self._options.on_progress()
        if job.cancelled and done < total:
            raise _CancelledInPrefill


class _CancelledInPrefill(Exception):
    pass


def _processors(job: EngineJob) -> list[LogitsProcessor]:
    processors = processors_for(job.sampling)
    return [*processors, job.grammar] if job.grammar is not None else processors


@functools.lru_cache(maxsize=64)
def _stop_sequences(eos_token_ids: frozenset[int]) -> StopSequences:
    return StopSequences([(token,) for token in sorted(eos_token_ids)])
