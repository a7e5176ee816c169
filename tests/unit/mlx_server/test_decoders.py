"""The batched decoder without the engine around it."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlx_lm.utils import load_model

from llm.mlx_server.catalog import LocalModels, ModelEntry
from llm.mlx_server.decoders import BatchedDecoder, DecoderOptions
from llm.mlx_server.job import Channel, EngineJob, PromptTokens
from llm.mlx_server.recent_prompts import RecentPrompts
from tests.support.tiny_models import build_llama


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> ModelEntry:
    folder: Path = tmp_path_factory.mktemp("models")
    build_llama(folder / "llama")
    return LocalModels(folder, max_context_tokens=2048).find("llama")


def test_a_cached_prefix_is_found_by_a_request_that_names_none(
    entry: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RecentPrompts, "common_tokens", lambda recent, tokens: 0)
    decoder = BatchedDecoder(load_model(entry.folder)[0], _options())
    prefix = tuple(range(5, 70))

    _answer(decoder, entry, (*prefix, 7, 8), shared=len(prefix))
    longer = _answer(decoder, entry, (*prefix, 9, 10), shared=0)
    shorter = _answer(decoder, entry, (*prefix[:-2], 9, 10), shared=0)

    assert longer.cached_tokens == len(prefix)
    assert shorter.cached_tokens == len(prefix) - 2


def test_a_prefix_too_large_to_keep_is_waited_for_once(entry: ModelEntry) -> None:
    options = _options()._replace(capacity=3, prefix_cache_bytes=1)
    decoder = BatchedDecoder(load_model(entry.folder)[0], options)
    prefix = tuple(range(5, 70))
    leader, *followers = [_job(entry, (*prefix, last), shared=len(prefix)) for last in (7, 8, 9)]
    for job in (leader, *followers):
        decoder.insert(job)
    assert set(decoder._followers) == set(followers)

    while decoder._uids[leader] in decoder._computing:
        decoder.step()

    assert not decoder._followers, "they run beside each other"


def _job(entry: ModelEntry, tokens: tuple[int, ...], *, shared: int) -> EngineJob:
    prompt = PromptTokens(tokens=tokens, shared_tokens=shared)
    return EngineJob(model=entry, channel=Channel(), prompt=prompt, max_tokens=2)


def _answer(
    decoder: BatchedDecoder, entry: ModelEntry, tokens: tuple[int, ...], *, shared: int
) -> EngineJob:
    job = _job(entry, tokens, shared=shared)
    decoder.insert(job)
    while not any(emission.finish for emission in decoder.step()):
        pass
    return job


def _options() -> DecoderOptions:
    return DecoderOptions(
        capacity=2,
        prefill_step_tokens=64,
        prefix_cache_bytes=2**26,
        vocabulary=None,
        on_progress=lambda: None,
    )
