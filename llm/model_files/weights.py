"""Converts weights of a GGUF file to the names and layout of mlx-lm.

Blocks of 32 with 4 or 8 bits become MLX's own quantisation with the same numbers, without rounding.
Other types are dequantised and stored as float16.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType as Kind
from gguf import ReaderTensor
from gguf.quants import dequantize

from llm.model_files.errors import ModelFileError

Array = np.ndarray[Any, np.dtype[Any]]

GROUP = 32
_HALF = 2  # Bytes of a float16.

NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OF_THE_WHOLE = ("token_embd", "output_norm", "output")
_ALWAYS = ("token_embd", "output_norm")  # "output" is missing where it is the embedding again.
_NAME = re.compile(r"(?:blk\.(?P<layer>\d+)\.)?(?P<part>[a-z_]+)\.(?P<kind>weight|bias)")


@dataclass(frozen=True, slots=True)
class Converted:
    """``arrays`` by mlx-lm's names; ``bits`` is None where the weight is not quantised."""

    module: str
    arrays: dict[str, Array] = field(repr=False)
    bits: int | None = None


def convert_tensor(tensor: ReaderTensor, *, heads: int, kv_heads: int) -> Converted:
    """The tensor for mlx-lm. Raises ModelFileError for a tensor that no Llama has, or an
    unsupported quantisation."""
    matched = _NAME.fullmatch(tensor.name)
    if matched is None or matched["part"] not in NAMES:
        raise ModelFileError(f"unsupported: it holds a tensor {tensor.name!r}, which no Llama has")
    module = NAMES[matched["part"]]
    if matched["layer"] is not None:
        module = f"model.layers.{matched['layer']}.{module}"
    rows: Array = tensor.data
    if matched["part"] in ("attn_q", "attn_k"):
        rows = _halves_apart(rows, heads if matched["part"] == "attn_q" else kv_heads)
    unpack = _LOSSLESS.get(tensor.tensor_type)
    if unpack is not None and rows.ndim == 2:
        bits, codes, scales, biases = unpack(rows)
        arrays = {"weight": _packed(codes, bits), "scales": scales, "biases": biases}
        return Converted(module, {f"{module}.{name}": a for name, a in arrays.items()}, bits)
    return Converted(module, {f"{module}.{matched['kind']}": _as_half(rows, tensor)})


def missing_tensor(names: Collection[str], layers: int) -> str | None:
    """The first tensor that a Llama with so many layers needs and ``names`` lacks."""
    of_a_layer = [part for part in NAMES if part not in _OF_THE_WHOLE]
    needed = [
        *(f"{part}.weight" for part in _ALWAYS),
        *(f"blk.{layer}.{part}.weight" for layer in range(layers) for part in of_a_layer),
    ]
    return next((name for name in needed if name not in names), None)


def _halves_apart(rows: Array, heads: int) -> Array:
    """Undo llama.cpp's order of a head's rows: it rotates neighbours, mlx-lm the two halves."""
    return (
        rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:])
        .swapaxes(1, 2)
        .reshape(rows.shape)
    )


def _as_half(rows: Array, tensor: ReaderTensor) -> Array:
    try:
        numbers = dequantize(rows, tensor.tensor_type)
    except NotImplementedError as error:
        kind = tensor.tensor_type.name
        raise ModelFileError(f"unsupported: {tensor.name} is quantised as {kind}") from error
    return numbers.astype(np.float16)


_Unpacked = tuple[int, Array, Array, Array]


def _q4_0(rows: Array) -> _Unpacked:
    (scales,), codes = _blocks(rows, halves=1, code_bytes=GROUP // 2)
    return 4, _nibbles(codes), scales, scales * np.float16(-8)


def _q4_1(rows: Array) -> _Unpacked:
    (scales, minima), codes = _blocks(rows, halves=2, code_bytes=GROUP // 2)
    return 4, _nibbles(codes), scales, minima


def _q8_0(rows: Array) -> _Unpacked:
    (scales,), codes = _blocks(rows, halves=1, code_bytes=GROUP)
    return 8, codes ^ 0x80, scales, scales * np.float16(-128)


_LOSSLESS: dict[Kind, Callable[[Array], _Unpacked]] = {
    Kind.Q4_0: _q4_0,
    Kind.Q4_1: _q4_1,
    Kind.Q8_0: _q8_0,
}


def _blocks(rows: Array, *, halves: int, code_bytes: int) -> tuple[list[Array], Array]:
    """The leading float16 values of every block, each of shape (rows, blocks), and the bytes of its
    codes."""
    head = halves * _HALF
    blocks = rows.reshape(rows.shape[0], -1, head + code_bytes)
    numbers = np.ascontiguousarray(blocks[:, :, :head]).view(np.float16)
    return [np.ascontiguousarray(numbers[:, :, n]) for n in range(halves)], blocks[:, :, head:]


def _nibbles(codes: Array) -> Array:
    """The low halves are a block's first 16 weights, the high halves its last."""
    return np.concatenate([codes & 0x0F, codes >> 4], axis=-1)


def _packed(codes: Array, bits: int) -> Array:
    """MLX's words: the first code is in the lowest bits."""
    per_word = 32 // bits
    words = codes.reshape(codes.shape[0], -1, per_word).astype(np.uint32)
    shifts = np.arange(per_word, dtype=np.uint32) * np.uint32(bits)
    packed: Array = np.bitwise_or.reduce(words << shifts, axis=-1)
    return packed
