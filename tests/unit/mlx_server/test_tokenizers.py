"""Tokenizers: nobody waits for another's text, nor for another model's load."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llm.mlx_server import tokenizers
from llm.mlx_server.catalog import LocalModels, ModelEntry
from llm.mlx_server.requests import ChatMessage
from llm.mlx_server.tokenizers import ModelTokenizer, TokenizerStore
from tests.support.tiny_models import build_llama

DEADLINE_SECONDS = 20.0
SHORT = (ChatMessage("user", "hi"),)
LONG = (ChatMessage("user", "hold"),)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> LocalModels:
    folder = tmp_path_factory.mktemp("models")
    for name in ("one", "other"):
        build_llama(folder / name)
    return LocalModels(folder, max_context_tokens=2048)


class Hold:
    """Keeps whoever comes by inside until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.let_go = threading.Event()

    def pass_by(self) -> None:
        self.entered.set()
        assert self.let_go.wait(DEADLINE_SECONDS)


def test_a_short_chat_does_not_wait_for_a_long_one(
    catalog: LocalModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, hold = TokenizerStore().get(catalog.find("one")), Hold()
    _holding(monkeypatch, tokenizer, hold)
    with ThreadPoolExecutor(2) as pool:
        long = pool.submit(tokenizer.render, LONG, think=None)
        assert hold.entered.wait(DEADLINE_SECONDS)
        try:
            short = pool.submit(tokenizer.render, SHORT, think=None)
            assert short.result(DEADLINE_SECONDS / 4)
        finally:
            hold.let_go.set()
        assert long.result(DEADLINE_SECONDS)


def test_a_loaded_tokenizer_does_not_wait_for_another_s_load(
    catalog: LocalModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = catalog.find("one"), catalog.find("other")
    store, hold, load = TokenizerStore(), Hold(), tokenizers._load
    expected = store.get(one)

    def slowly(entry: ModelEntry) -> Any:
        hold.pass_by()
        return load(entry)

    monkeypatch.setattr(tokenizers, "_load", slowly)
    with ThreadPoolExecutor(3) as pool:
        loads = [pool.submit(store.get, other) for _ in range(2)]
        assert hold.entered.wait(DEADLINE_SECONDS)
        try:
            assert store.ready(other) is None
            assert pool.submit(store.get, one).result(DEADLINE_SECONDS / 4) is expected
        finally:
            hold.let_go.set()
        first, second = (each.result(DEADLINE_SECONDS) for each in loads)
    assert first is second is store.ready(other)


def test_many_threads_read_texts_as_one_does(tmp_path: Path) -> None:
    """Also where the tokenizer's file asks for truncation and padding, which a text undoes."""
    file = build_llama(tmp_path / "cut") / "tokenizer.json"
    cutting = {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    file.write_text(json.dumps({**json.loads(file.read_text()), "truncation": cutting}))
    tokenizer = TokenizerStore().get(LocalModels(tmp_path, max_context_tokens=2048).find("cut"))
    chats = [(ChatMessage("user", f"question {n} " * n),) for n in range(1, 40)]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda chat: tokenizer.render(chat, think=None), chats * 4))

    alone = [tokenizer.render(chat, think=None) for chat in chats]
    assert together == alone * 4
    assert len(alone[-1]) > 4


def _holding(monkeypatch: pytest.MonkeyPatch, tokenizer: ModelTokenizer, hold: Hold) -> None:
    """Let the template of ``tokenizer`` hold the chat that says "hold"."""
    apply = tokenizer._wrapper.apply_chat_template

    def slowly(messages: list[dict[str, str]], **wishes: Any) -> Any:
        if messages[-1]["content"] == "hold":
            hold.pass_by()
        return apply(messages, **wishes)

    monkeypatch.setattr(type(tokenizer._wrapper), "apply_chat_template", staticmethod(slowly))
