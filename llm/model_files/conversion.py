"""Converts a Llama in a GGUF file to a folder that mlx-lm loads."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import save_file

from llm.model_files.errors import ModelFileError
from llm.model_files.gguf_file import GgufFile, read_gguf
from llm.model_files.rotary import ROPE_FACTORS, rope_scaling
from llm.model_files.tokenizer import tokenizer_files
from llm.model_files.weights import GROUP, convert_tensor, missing_tensor

ARCHITECTURES = ("llama",)
OnProgress = Callable[[float], None]
"""Called with the finished share, 0 to 1."""


def convert(gguf_path: Path, folder: Path, *, on_progress: OnProgress = lambda share: None) -> None:
    """Write ``config.json``, tokenizer and weights into ``folder``, which must exist.

    Raises ModelFileError for a damaged file or another architecture, OSError for a folder that
    cannot be written.
    """
    gguf = read_gguf(gguf_path)
    config = _config(gguf)
    texts = tokenizer_files(gguf)
    arrays, quantized = _weights(gguf, config, on_progress)
    if quantized:
        config["quantization"] = _quantization(quantized)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    _save(arrays, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    on_progress(1.0)


def _config(gguf: GgufFile) -> dict[str, Any]:
    architecture = gguf.architecture
    if architecture not in ARCHITECTURES or gguf.parameter("expert_count", int, 0):
        experts = " with experts" if architecture in ARCHITECTURES else ""
        raise ModelFileError(
            f"unsupported architecture {architecture!r}{experts}: only plain Llama models "
            f"({', '.join(ARCHITECTURES)}) are converted; others are served by Ollama or llama.cpp"
        )
    hidden = gguf.parameter("embedding_length", int)
    heads = gguf.parameter("attention.head_count", int)
    if heads < 1 or hidden < 1:
        raise ModelFileError(f"damaged: {heads} heads for a width of {hidden}")
    head = gguf.parameter("attention.key_length", int, hidden // heads)
    layers = gguf.parameter("block_count", int)
    names = {tensor.name for tensor in gguf.tensors}
    if (missing := missing_tensor(names, layers)) is not None:
        raise ModelFileError(f"damaged, or one part of several files: it has no {missing}")
    return {
        "model_type": architecture,
        "hidden_size": hidden,
        "intermediate_size": gguf.parameter("feed_forward_length", int),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": gguf.parameter("attention.head_count_kv", int, heads),
        "head_dim": head,
        "max_position_embeddings": gguf.parameter("context_length", int),
        "rms_norm_eps": gguf.parameter("attention.layer_norm_rms_epsilon", float),
        "rope_theta": gguf.parameter("rope.freq_base", float, 10_000.0),
        "rope_scaling": rope_scaling(gguf, head),
        "vocab_size": len(gguf.value("tokenizer.ggml.tokens", list)),
        "attention_bias": "blk.0.attn_q.bias" in names,
        "mlp_bias": "blk.0.ffn_up.bias" in names,
        "tie_word_embeddings": "output.weight" not in names,
        "bos_token_id": gguf.metadata.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": gguf.value("tokenizer.ggml.eos_token_id", int),
    }


def _weights(
    gguf: GgufFile, config: dict[str, Any], on_progress: OnProgress
) -> tuple[dict[str, Any], dict[str, int]]:
    """The arrays by name, and the bits of every quantised module."""
    arrays: dict[str, Any] = {}
    quantized: dict[str, int] = {}
    for number, tensor in enumerate(gguf.tensors):
        if tensor.name == ROPE_FACTORS:
            continue  # Part of the config.
        done = convert_tensor(
            tensor,
            heads=config["num_attention_heads"],
            kv_heads=config["num_key_value_heads"],
        )
        arrays.update(done.arrays)
        if done.bits is not None:
            quantized[done.module] = done.bits
        on_progress(number / len(gguf.tensors))
    return arrays, quantized


def _save(arrays: dict[str, Any], file: Path) -> None:
    """Save the arrays. safetensors hides the system's error in a text of its own; a full disk is
    reported as one."""
    try:
        save_file(arrays, file, metadata={"format": "mlx"})
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        code = int(number.group(1))
        raise OSError(code, os.strerror(code), str(file)) from error


def _quantization(bits_of: dict[str, int]) -> dict[str, Any]:
    """mlx-lm's quantisation table: what most modules have, and the modules that differ, by name."""
    all_bits = list(bits_of.values())
    usual = max(set(all_bits), key=all_bits.count)
    others = {
        module: {"group_size": GROUP, "bits": bits}
        for module, bits in bits_of.items()
        if bits != usual
    }
    return {"group_size": GROUP, "bits": usual, **others}
