"""Loads a model in chunks, so that other models keep generating."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten, tree_map
from mlx_lm.utils import dequantize_model, load_model


@dataclass(frozen=True, slots=True)
class LoadedModel:
    model: Any
    size_bytes: int


def load_in_chunks(
    folder: Path, *, chunk_bytes: int, float32: bool = False
) -> Generator[None, None, LoadedModel]:
    """Load the weights in ``folder``, yielding after about every ``chunk_bytes``.

    With ``float32`` they are converted to that type. Reads local files only. Raises what mlx-lm
    raises for an unusable folder.
    """
    model, _ = load_model(folder, lazy=True)
    if float32:
        _hold_in_float32(model)
    yield
    size_bytes = 0
    for chunk in _chunks(model, chunk_bytes):
        mx.eval(chunk)
        size_bytes += sum(array.nbytes for array in chunk)
        yield
    return LoadedModel(model, size_bytes)


def _hold_in_float32(model: Any) -> None:
    """Convert the weights lazily. Scales come first: the values computed from them are then
    exact."""
    _cast(model)
    dequantize_model(model)
    _cast(model)


def _cast(model: Any) -> None:
    model.update(
        tree_map(
            lambda a: a.astype(mx.float32) if mx.issubdtype(a.dtype, mx.floating) else a,
            model.parameters(),
        )
    )


def _chunks(model: Any, chunk_bytes: int) -> Iterator[list[mx.array]]:
    chunk: list[mx.array] = []
    size = 0
    parameters: Any = tree_flatten(model.parameters())
    for _, array in parameters:
        chunk.append(array)
        size += array.nbytes
        if size >= chunk_bytes:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
