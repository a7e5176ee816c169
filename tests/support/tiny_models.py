"""Random language models of a few hundred kilobytes, built in a folder in well under a second.

Their text is gibberish: they check protocol, scheduling and memory, never prose. Three kinds:

- ``build_llama``: a plain decoder whose requests are batched;
- ``build_qwen``: a second architecture (query and key norms), batched as well;
- ``build_unbatchable``: a decoder with a chunked cache that mlx-lm cannot batch.
"""

from __future__ import annotations

import functools
import importlib
import json
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL_TOKENS = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
THINKING_TOKENS = ["<think>", "</think>"]
CONTEXT_TOKENS = 2048

_CORPUS = (
    'The quick brown fox jumps over the lazy dog. {"name": "value", "items": [1, 2, 3]} '
    "A company of experts answers questions, writes code and checks results. "
    "Съешь же ещё этих мягких французских булок, да выпей чаю. "
) * 4


def build_llama(
    folder: Path,
    *,
    seed: int = 0,
    hidden: int = 64,
    layers: int = 2,
    chat_template: str | None = CHAT_TEMPLATE,
    thinking: bool = False,
    context_tokens: int = CONTEXT_TOKENS,
) -> Path:
    """A batchable model in ``folder`` (made if missing). Returns ``folder``."""
    config = {
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": hidden * 2,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": context_tokens,
        "tie_word_embeddings": False,
    }
    return _build(folder, config, seed=seed, chat_template=chat_template, thinking=thinking)


def build_qwen(folder: Path, *, seed: int = 1, hidden: int = 64, layers: int = 2) -> Path:
    """A batchable model of a second architecture."""
    config = {
        "model_type": "qwen3",
        "hidden_size": hidden,
        "intermediate_size": hidden * 2,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": hidden // 4,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10_000.0,
        "max_position_embeddings": CONTEXT_TOKENS,
        "tie_word_embeddings": False,
    }
    return _build(folder, config, seed=seed, chat_template=CHAT_TEMPLATE)


def build_unbatchable(folder: Path, *, seed: int = 2, hidden: int = 64) -> Path:
    """A model that serves one request at a time: its cache cannot be merged."""
    text_config = {
        "model_type": "llama4_text",
        "attention_bias": False,
        "attention_chunk_size": 512,
        "head_dim": hidden // 4,
        "hidden_size": hidden,
        "interleave_moe_layer_step": 2,
        "intermediate_size": hidden,
        "intermediate_size_mlp": hidden * 2,
        "max_position_embeddings": CONTEXT_TOKENS,
        "num_attention_heads": 4,
        "num_experts_per_tok": 1,
        "num_hidden_layers": 4,  # the architecture keeps its global attention in every fourth
        "num_key_value_heads": 2,
        "num_local_experts": 2,
        "rms_norm_eps": 1e-5,
        "rope_scaling": None,
        "rope_theta": 10_000.0,
        "use_qk_norm": True,
    }
    config = {"model_type": "llama4", "text_config": text_config}
    return _build(folder, config, seed=seed, chat_template=CHAT_TEMPLATE)


def _build(
    folder: Path,
    config: dict[str, Any],
    *,
    seed: int,
    chat_template: str | None,
    thinking: bool = False,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer_json, vocab_size, eos_id = _tokenizer(thinking)
    config.get("text_config", config)["vocab_size"] = vocab_size
    config["eos_token_id"] = eos_id
    _write_tokenizer(folder, tokenizer_json, chat_template)
    (folder / "config.json").write_text(json.dumps(config))
    _write_weights(folder, config, seed)
    return folder


@functools.cache
def _tokenizer(thinking: bool) -> tuple[str, int, int | None]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=SPECIAL_TOKENS + (THINKING_TOKENS if thinking else []),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_CORPUS], trainer)
    return tokenizer.to_str(), tokenizer.get_vocab_size(), tokenizer.token_to_id("<|end|>")


def _write_tokenizer(folder: Path, tokenizer_json: str, chat_template: str | None) -> None:
    (folder / "tokenizer.json").write_text(tokenizer_json)
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|end|>",
        "model_max_length": CONTEXT_TOKENS,
    }
    if chat_template is not None:
        settings["chat_template"] = chat_template
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _write_weights(folder: Path, config: dict[str, Any], seed: int) -> None:
    module = importlib.import_module(f"mlx_lm.models.{config['model_type']}")
    mx.random.seed(seed)
    model = module.Model(module.ModelArgs.from_dict(config))
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
