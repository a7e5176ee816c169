"""Bringing a model into memory a chunk at a time, so that running answers go on meanwhile."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model


@dataclass(frozen=True, slots=True)
class LoadedModel:
    model: Any
    size_bytes: int


def load_in_chunks(folder: Path, *, chunk_bytes: int) -> Generator[None, None, LoadedModel]:
    """Load the weights in ``folder``, yielding after every ``chunk_bytes`` or so.

    Reads local files only. Raises what mlx-lm raises for a folder it cannot use.
    """
    model, _ = load_model(folder, lazy=True)
    yield
    size_bytes = 0
    for chunk in _chunks(model, chunk_bytes):
        mx.eval(chunk)
        size_bytes += sum(array.nbytes for array in chunk)
        yield
    return LoadedModel(model, size_bytes)


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
