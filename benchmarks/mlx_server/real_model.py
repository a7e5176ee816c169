"""The real small model for servers that hold weights as they are stored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from llm.mlx_server.loading import load_in_chunks


def float32_copy(folder: Path, target: Path) -> None:
    """Write the model in ``folder`` with float32 weights, as ours holds it on a processor.

    Stored as 4 bits it is computed without any BLAS, and the comparison would be of that alone.
    """
    loading = load_in_chunks(folder, chunk_bytes=2**28, float32=True)
    while True:
        try:
            next(loading)
        except StopIteration as done:
            model = done.value.model
            break
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.safetensors"))
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config.pop("quantization", None)
    (target / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights: Any = tree_flatten(model.parameters())
    mx.save_safetensors(str(target / "model.safetensors"), dict(weights), {"format": "mlx"})
