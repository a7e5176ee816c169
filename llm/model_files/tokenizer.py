"""Builds a tokenizer for mlx-lm from the tokens and merges in a GGUF file."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

from llm.model_files.errors import ModelFileError
from llm.model_files.gguf_file import GgufFile

BYTE_LEVEL_BPE = "gpt2"
_CONTROL, _USER_DEFINED = 3, 4  # gguf.TokenType

# How each family splits a text before merging; the patterns are from llama.cpp's llama-vocab.cpp.
_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN_2 = _LLAMA_3.replace(r"\p{N}{1,3}", r"\p{N}")


def _gpt_2() -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=False)


def _single_digits() -> Any:
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _gpt_2()])


def _by_pattern(pattern: str) -> Any:
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    rest = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([split, rest])


_CUTTERS: dict[str, Callable[[], Any]] = {
    "default": _gpt_2,
    "gpt-2": _gpt_2,
    "smollm": _single_digits,
    "llama-bpe": lambda: _by_pattern(_LLAMA_3),
    "qwen2": lambda: _by_pattern(_QWEN_2),
}


def tokenizer_files(gguf: GgufFile) -> dict[str, str]:
    """The text of ``tokenizer.json`` and ``tokenizer_config.json``. Raises ModelFileError."""
    tokens = _texts(gguf, "tokens")
    special = {name: _token(gguf, tokens, name) for name in ("bos", "eos", "padding", "unknown")}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": gguf.parameter("context_length", int),
        "clean_up_tokenization_spaces": False,
        "bos_token": special["bos"],
        "eos_token": special["eos"],
        "pad_token": special["padding"],
        "unk_token": special["unknown"],
        "chat_template": gguf.metadata.get("tokenizer.chat_template"),
    }
    kept = {name: value for name, value in settings.items() if value is not None}
    return {
        "tokenizer.json": _tokenizer(gguf, tokens, bos=special["bos"]).to_str(),
        "tokenizer_config.json": json.dumps(kept, ensure_ascii=False, indent=2),
    }


def _tokenizer(gguf: GgufFile, tokens: list[str], *, bos: str | None) -> Tokenizer:
    kind = gguf.value("tokenizer.ggml.model", str)
    if kind != BYTE_LEVEL_BPE:
        raise ModelFileError(
            f"unsupported: its tokenizer is {kind!r}, not byte-level BPE ({BYTE_LEVEL_BPE!r})"
        )
    family = gguf.value("tokenizer.ggml.pre", str, "default")
    if family not in _CUTTERS:
        known = ", ".join(sorted(_CUTTERS))
        raise ModelFileError(f"unsupported: it cuts text as {family!r}; known are {known}")
    vocabulary = {token: number for number, token in enumerate(tokens)}
    merges = [_pair(merge) for merge in _texts(gguf, "merges")]
    whole_words = family == "llama-bpe"
    try:
        model = models.BPE(vocabulary, merges, ignore_merges=whole_words)
    except Exception as error:  # tokenizers raises plain Exception
        raise ModelFileError(f"damaged: its merges do not fit its tokens: {error}") from error
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = _CUTTERS[family]()
    tokenizer.decoder = decoders.ByteLevel()
    _add_special(tokenizer, gguf, tokens)
    if bos is not None and gguf.value("tokenizer.ggml.add_bos_token", bool, False):
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[bos, "$A"], special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    return tokenizer


def _add_special(tokenizer: Tokenizer, gguf: GgufFile, tokens: list[str]) -> None:
    kinds = gguf.metadata.get("tokenizer.ggml.token_type") or []
    for token, kind in zip(tokens, kinds, strict=False):
        if kind == _CONTROL:
            tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False)])
        elif kind == _USER_DEFINED:
            tokenizer.add_tokens([AddedToken(token, normalized=False)])


def _texts(gguf: GgufFile, name: str) -> list[str]:
    return gguf.value(f"tokenizer.ggml.{name}", list)


def _pair(merge: str) -> tuple[str, str]:
    left, _, right = merge.partition(" ")
    return left, right


def _token(gguf: GgufFile, tokens: list[str], name: str) -> str | None:
    number = gguf.metadata.get(f"tokenizer.ggml.{name}_token_id")
    return tokens[number] if isinstance(number, int) and 0 <= number < len(tokens) else None
