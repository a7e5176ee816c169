"""From a request to a job: what the model's own vocabulary and tokenizer decide."""

from __future__ import annotations

import dataclasses

import pytest

from llm.mlx_server.catalog import LocalModels, ModelEntry
from llm.mlx_server.errors import InvalidRequest
from llm.mlx_server.preparing import text_job
from llm.mlx_server.requests import ChatMessage, TextRequest
from llm.mlx_server.sampling import DecoderSampling
from llm.mlx_server.settings import ServerSettings
from llm.mlx_server.tokenizers import ModelTokenizer, TokenizerStore
from tests.support.tiny_models import build_llama


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> ModelEntry:
    folder = tmp_path_factory.mktemp("models")
    build_llama(folder / "llama")
    return LocalModels(folder, max_context_tokens=2048).find("llama")


@pytest.fixture(scope="module")
def tokenizer(entry: ModelEntry) -> ModelTokenizer:
    return TokenizerStore().get(entry)


def test_the_tokenizer_bounds_a_bias_where_the_config_tells_no_vocabulary(
    entry: ModelEntry, tokenizer: ModelTokenizer
) -> None:
    silent = dataclasses.replace(entry, vocabulary=None)
    last = tokenizer.size - 1
    text_job(_biased(last), silent, tokenizer, ServerSettings())
    with pytest.raises(InvalidRequest, match=f"outside the vocabulary of {tokenizer.size}"):
        text_job(_biased(last + 1), silent, tokenizer, ServerSettings())


def _biased(token: int) -> TextRequest:
    message = ChatMessage("user", "hello")
    return TextRequest(
        model="llama", messages=(message,), sampling=DecoderSampling(logit_bias=((token, 1.0),))
    )
