"""Tiny Llamas in GGUF files, and what llama.cpp would compute from one, written in numpy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, RopeScalingType
from gguf.quants import dequantize, quantize
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from llm.model_files.gguf_file import read_gguf

Array = Any

HIDDEN, LAYERS, HEADS, KV_HEADS, WIDE, CONTEXT = 64, 2, 4, 2, 96, 256
SPECIAL = ["<|end|>", "<|user|>"]
TEMPLATE = "{% for m in messages %}<|user|>{{ m['content'] }}<|end|>{% endfor %}"
ROPE_BASE = 10_000.0
EPSILON = 1e-5
CORPUS = (
    "The quick brown fox jumps over 1234 lazy dogs. def f(x): return x + 1\n"
    "Съешь же ещё этих мягких французских булок. 🙂👍🏽 "
) * 3


def write_gguf(
    path: Path,
    *,
    architecture: str = "llama",
    kind: str = "Q4_1",
    tokenizer: str = "gpt2",
    seed: int = 0,
    rope_factors: Sequence[float] | None = None,
    rope_scaling: tuple[RopeScalingType, float] | None = None,
    leave_out: str = "",
) -> Path:
    """A random Llama whose matrices are quantised as ``kind``; its norms stay float32.

    ``rope_factors`` divide its frequencies, as in Llama 3.1; the tensor ``leave_out`` is missing.
    """
    tokens, merges = _byte_level_bpe()
    writer = GGUFWriter(path, architecture)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(WIDE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(EPSILON)
    writer.add_rope_freq_base(ROPE_BASE)
    if rope_scaling is not None:
        writer.add_rope_scaling_type(rope_scaling[0])
        writer.add_rope_scaling_factor(rope_scaling[1])
    writer.add_tokenizer_model(tokenizer)
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in SPECIAL else 1 for token in tokens])
    writer.add_token_merges(merges)
    writer.add_eos_token_id(0)
    writer.add_chat_template(TEMPLATE)
    if rope_factors is not None:
        writer.add_tensor("rope_freqs.weight", np.array(rope_factors, dtype=np.float32))
    dice = np.random.default_rng(seed)
    for name, numbers, stored_as in _tensors(len(tokens), GGMLQuantizationType[kind], dice):
        if name != leave_out:
            writer.add_tensor(name, numbers, raw_dtype=stored_as)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def reference_logits(path: Path, tokens: list[int]) -> Array:
    """Logits (tokens, vocabulary) as llama.cpp computes them, from the dequantised weights."""
    gguf = read_gguf(path)
    weights = {t.name: dequantize(t.data, t.tensor_type) for t in gguf.tensors}
    heads = gguf.parameter("attention.head_count", int)
    kv_heads = gguf.parameter("attention.head_count_kv", int)
    epsilon = gguf.parameter("attention.layer_norm_rms_epsilon", float)
    base = gguf.parameter("rope.freq_base", float)
    stretch = weights.get("rope_freqs.weight", 1.0) * gguf.parameter(
        "rope.scaling.factor", float, 1.0
    )
    x = weights["token_embd.weight"][tokens]
    for layer in range(gguf.parameter("block_count", int)):
        w = {name.split(".", 2)[2]: a for name, a in weights.items() if f"blk.{layer}." in name}
        h = _norm(x, w["attn_norm.weight"], epsilon)
        q = _turn(_heads(h @ w["attn_q.weight"].T, heads), base, stretch)
        k = _turn(_heads(h @ w["attn_k.weight"].T, kv_heads), base, stretch)
        v = _heads(h @ w["attn_v.weight"].T, kv_heads)
        x = x + _attend(q, k, v) @ w["attn_output.weight"].T
        h = _norm(x, w["ffn_norm.weight"], epsilon)
        gate = h @ w["ffn_gate.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ w["ffn_up.weight"].T)) @ w["ffn_down.weight"].T
    last = _norm(x, weights["output_norm.weight"], epsilon)
    return last @ weights.get("output.weight", weights["token_embd.weight"]).T


def _tensors(
    vocabulary: int, kind: GGMLQuantizationType, dice: np.random.Generator
) -> Iterator[tuple[str, Array, GGMLQuantizationType | None]]:
    def matrix(name: str, rows: int, columns: int) -> tuple[str, Array, GGMLQuantizationType]:
        numbers = dice.normal(0, 0.1, (rows, columns)).astype(np.float32)
        return name, quantize(numbers, kind), kind

    def norm(name: str) -> tuple[str, Array, None]:
        return name, dice.uniform(0.5, 1.5, HIDDEN).astype(np.float32), None

    head = HIDDEN // HEADS
    yield matrix("token_embd.weight", vocabulary, HIDDEN)
    yield norm("output_norm.weight")
    for layer in range(LAYERS):
        yield norm(f"blk.{layer}.attn_norm.weight")
        yield norm(f"blk.{layer}.ffn_norm.weight")
        yield matrix(f"blk.{layer}.attn_q.weight", HIDDEN, HIDDEN)
        yield matrix(f"blk.{layer}.attn_k.weight", KV_HEADS * head, HIDDEN)
        yield matrix(f"blk.{layer}.attn_v.weight", KV_HEADS * head, HIDDEN)
        yield matrix(f"blk.{layer}.attn_output.weight", HIDDEN, HIDDEN)
        yield matrix(f"blk.{layer}.ffn_gate.weight", WIDE, HIDDEN)
        yield matrix(f"blk.{layer}.ffn_up.weight", WIDE, HIDDEN)
        yield matrix(f"blk.{layer}.ffn_down.weight", HIDDEN, WIDE)


def _byte_level_bpe() -> tuple[list[str], list[str]]:
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator([CORPUS], trainer)
    model = json.loads(trained.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    return tokens, [" ".join(pair) for pair in model["merges"]]


def _norm(x: Array, weight: Array, epsilon: float) -> Array:
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + epsilon) * weight


def _heads(x: Array, heads: int) -> Array:
    return x.reshape(x.shape[0], heads, -1).swapaxes(0, 1)


def _turn(x: Array, base: float, stretch: Array | float) -> Array:
    """llama.cpp's rotary embedding: neighbours are turned together, slower by ``stretch``."""
    half = x.shape[-1] // 2
    angles = np.arange(x.shape[1])[:, None] * base ** (-np.arange(half) / half) / stretch
    cosine, sine = np.cos(angles), np.sin(angles)
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = np.empty_like(x)
    turned[..., 0::2] = even * cosine - odd * sine
    turned[..., 1::2] = even * sine + odd * cosine
    return turned


def _attend(q: Array, k: Array, v: Array) -> Array:
    groups = q.shape[0] // k.shape[0]
    k, v = np.repeat(k, groups, axis=0), np.repeat(v, groups, axis=0)
    scores = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
    scores = np.where(np.tril(np.ones(scores.shape[1:], dtype=bool)), scores, -np.inf)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return (shares @ v).swapaxes(0, 1).reshape(q.shape[1], -1)
