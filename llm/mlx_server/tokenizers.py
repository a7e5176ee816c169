"""The models' tokenizers, loaded without the weights so that HTTP code can use them.

A tokenizer is small and stays when its model is evicted. Rendering and encoding take no lock, so
requests do not wait for each other.
"""

from __future__ import annotations

import functools
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from llguidance import LLTokenizer
from mlx_lm.utils import load_tokenizer

from llm.mlx_server.catalog import COMPLETION, RAW_ONLY, ModelEntry
from llm.mlx_server.errors import GenerationFailed, InvalidRequest
from llm.mlx_server.requests import ChatMessage
from llm.mlx_server.structured import vocabulary_of
from llm.mlx_server.text import Detokenizer, ThinkMarkers

KEPT_TOKENIZERS = 8
KEPT_PREFIXES = 256


class ModelTokenizer:
    """A model's tokenizer. ``wrapper`` is mlx-lm's TokenizerWrapper. Safe from any thread.

    A compiled template does not change while rendering. A fast tokenizer resets truncation and
    padding at its first text (``set_truncation_and_padding`` of transformers), which must not
    overlap with another call. So the constructor encodes a first text, and computes in advance what
    would delay a short request.
    """

    def __init__(self, entry: ModelEntry, wrapper: Any) -> None:
        self.entry = entry
        self.eos_token_ids = frozenset(int(token) for token in wrapper.eos_token_ids)
        self._wrapper = wrapper
        self._longest_token_bytes = max(len(token.encode()) for token in wrapper.get_vocab())
        self._prefix_tokens = functools.lru_cache(maxsize=KEPT_PREFIXES)(self._render_prefix)
        self.encode("")

    @property
    def has_template(self) -> bool:
        return bool(self._wrapper.has_chat_template)

    @property
    def template(self) -> str:
        return str(self._wrapper.chat_template or "")

    @property
    def markers(self) -> ThinkMarkers | None:
        if not self._wrapper.has_thinking:
            return None
        return ThinkMarkers(self._wrapper.think_start, self._wrapper.think_end)

    @property
    def think_end_token(self) -> int:
        """The token that ends the thinking; the last one if the marker has several."""
        return int(self._wrapper.think_end_tokens[-1])

    @property
    def size(self) -> int:
        """The number of tokens it knows; the model's logits are at least as wide."""
        return len(self._wrapper)

    @property
    def capabilities(self) -> tuple[str, ...]:
        if not self.has_template:
            return RAW_ONLY
        return (*COMPLETION, "thinking") if self.markers else COMPLETION

    def detokenizer(self) -> Detokenizer:
        detokenizer: Detokenizer = self._wrapper.detokenizer
        return detokenizer

    @functools.cached_property
    def vocabulary(self) -> LLTokenizer:
        return vocabulary_of(self._wrapper._tokenizer, eos_token_ids=self.eos_token_ids)

    def fewest_tokens(self, text_bytes: int) -> int:
        """A lower bound on the tokens of a text, without tokenizing it."""
        return text_bytes // self._longest_token_bytes

    def encode(self, text: str) -> list[int]:
        """Raw text, with the special tokens the tokenizer itself adds."""
        return [int(token) for token in self._wrapper.encode(text)]

    def render(self, messages: tuple[ChatMessage, ...], *, think: bool | None) -> list[int]:
        """The conversation in the model's template. Raises InvalidRequest if the template fails."""
        return self._apply(messages, add_generation_prompt=True, think=think)

    def shared_prefix(
        self, messages: tuple[ChatMessage, ...], tokens: list[int], *, think: bool | None
    ) -> int:
        """How many first ``tokens`` belong to the leading system messages."""
        system = _leading_system(messages)
        if not system or len(system) == len(messages):
            return 0
        prefix = self._prefix_tokens(system, think)
        shared = 0
        for ours, theirs in zip(prefix, tokens[:-1], strict=False):
            if ours != theirs:
                break
            shared += 1
        return shared

    def starts_thinking(self, tokens: list[int]) -> bool:
        """Whether the rendered prompt has already opened the thinking."""
        if self.markers is None:
            return False
        opened = self._wrapper.rfind_think_start(tokens)
        return bool(opened > self._wrapper.rfind_think_end(tokens))

    def _render_prefix(
        self, system: tuple[ChatMessage, ...], think: bool | None
    ) -> tuple[int, ...]:
        sample = (*system, ChatMessage("user", ""))
        return tuple(self._apply(sample, add_generation_prompt=False, think=think))

    def _apply(
        self,
        messages: tuple[ChatMessage, ...],
        *,
        add_generation_prompt: bool,
        think: bool | None,
    ) -> list[int]:
        if not self.has_template:
            raise InvalidRequest(
                f"{self.entry.name!r} does not support chat: no chat template, so it would only "
                'continue the prompt; use /api/generate with "raw": true',
                field="model",
            )
        plain = [{"role": each.role, "content": each.content} for each in messages]
        switches = {} if think is None else {"enable_thinking": think}
        try:
            tokens = self._wrapper.apply_chat_template(
                plain, add_generation_prompt=add_generation_prompt, **switches
            )
        except Exception as error:
            # Templates are programs of the models' authors and may raise anything.
            raise InvalidRequest(
                f"the model's chat template refuses them: {error}", field="messages"
            ) from error
        return [int(token) for token in tokens]


@dataclass(frozen=True, slots=True)
class _Kept:
    version: float
    tokenizer: ModelTokenizer


class TokenizerStore:
    """Loads each tokenizer once and keeps the most recent. Safe from any thread. Only callers who
    need the tokenizer being loaded wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._loading: dict[str, threading.Lock] = {}

    def ready(self, entry: ModelEntry) -> ModelTokenizer | None:
        """The tokenizer if it is already loaded."""
        with self._lock:
            kept = self._kept.get(entry.name)
            if kept is None or kept.version != entry.modified_at.timestamp():
                return None
            self._kept.move_to_end(entry.name)
            return kept.tokenizer

    def get(self, entry: ModelEntry) -> ModelTokenizer:
        """Load it if necessary (up to a second). Raises GenerationFailed for an unusable one."""
        with self._lock:
            loading = self._loading.setdefault(entry.name, threading.Lock())
        with loading:
            tokenizer = self.ready(entry)
            if tokenizer is None:
                tokenizer = _load(entry)
                self._keep(entry, tokenizer)
            return tokenizer

    def _keep(self, entry: ModelEntry, tokenizer: ModelTokenizer) -> None:
        with self._lock:
            self._kept[entry.name] = _Kept(entry.modified_at.timestamp(), tokenizer)
            self._kept.move_to_end(entry.name)
            while len(self._kept) > KEPT_TOKENIZERS:
                self._kept.popitem(last=False)


def _load(entry: ModelEntry) -> ModelTokenizer:
    try:
        config = json.loads((entry.folder / "config.json").read_text())
        load: Any = load_tokenizer
        return ModelTokenizer(entry, load(entry.folder, {}, eos_token_ids=_eos_ids(config)))
    except Exception as error:
        raise GenerationFailed(
            f"failed to load the tokenizer of model {entry.name!r}: {error}"
        ) from error


def _eos_ids(config: dict[str, Any]) -> Any:
    ids = config.get("eos_token_id")
    return [ids] if isinstance(ids, int) else ids


def _leading_system(messages: tuple[ChatMessage, ...]) -> tuple[ChatMessage, ...]:
    count = 0
    while count < len(messages) and messages[count].role == "system":
        count += 1
    return messages[:count]
