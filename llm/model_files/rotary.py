"""Converts the rotary embedding scaling of a GGUF file to mlx-lm's config.

Sources: llama.cpp's convert_hf_to_gguf.py (LlamaModel.generate_extra_tensors) and
mlx_lm/models/rope_utils.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llm.model_files.errors import ModelFileError
from llm.model_files.gguf_file import GgufFile

ROPE_FACTORS = "rope_freqs.weight"


def rope_scaling(gguf: GgufFile, head: int) -> dict[str, Any] | None:
    """``rope_scaling`` of the config; None for an unscaled embedding of ``head`` dimensions.

    Raises ModelFileError for a kind that mlx-lm would compute differently from its training.
    """
    turned = gguf.parameter("rope.dimension_count", int, head)
    if turned != head:
        raise ModelFileError(f"unsupported: it turns {turned} of {head} dimensions of a head")
    kind = gguf.parameter("rope.scaling.type", str, "none")
    factors = next((t for t in gguf.tensors if t.name == ROPE_FACTORS), None)
    if kind not in ("none", "linear") or (kind == "linear" and factors is not None):
        raise ModelFileError(f"unsupported: its rotary embedding is stretched as {kind!r}")
    if factors is not None:
        return _by_factors(np.asarray(factors.data, dtype=np.float32), gguf, head)
    if kind == "linear":
        return {"rope_type": "linear", "factor": gguf.parameter("rope.scaling.factor", float)}
    return None


def _by_factors(factors: Any, gguf: GgufFile, head: int) -> dict[str, Any]:
    """The scaling of Llama 3.1 and later: a divisor for every frequency, computed when the file was
    made.

    mlx-lm's ``longrope`` accepts the divisors; its ``llama3`` would recompute them from parameters
    that the file no longer contains. With equal lengths, ``longrope`` scales nothing else.
    """
    if factors.shape != (head // 2,) or not (np.isfinite(factors) & (factors > 0)).all():
        raise ModelFileError(f"damaged: {ROPE_FACTORS} does not fit heads of {head}")
    divisors = [float(factor) for factor in factors]
    return {
        "rope_type": "longrope",
        "factor": 1.0,
        "original_max_position_embeddings": gguf.parameter("context_length", int),
        "short_factor": divisors,
        "long_factor": divisors,
    }
