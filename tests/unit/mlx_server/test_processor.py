"""MLX on a processor: a fast BLAS, and weights in the one form that goes through it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from llm.cgroups import GroupLimits
from llm.mlx_server.catalog import LocalModels
from llm.mlx_server.loading import LoadedModel, load_in_chunks
from llm.mlx_server.memory import choose_limit
from llm.mlx_server.openblas import available_cores, fitting_threads, most_threads
from llm.model_files.conversion import convert
from tests.support.gguf_models import write_gguf
from tests.support.tiny_models import build_llama


def whole(folder: Path, *, float32: bool) -> LoadedModel:
    load = load_in_chunks(folder, chunk_bytes=10_000, float32=float32)
    while True:
        try:
            next(load)
        except StopIteration as done:
            loaded: LoadedModel = done.value
            return loaded


@pytest.mark.parametrize("kind", ["Q4_1", "Q8_0", "F16"])
def test_what_is_reserved_is_what_the_weights_take_in_float32(tmp_path: Path, kind: str) -> None:
    (tmp_path / "tiny").mkdir()
    convert(write_gguf(tmp_path / "tiny.gguf", kind=kind), tmp_path / "tiny")

    entry = LocalModels(tmp_path, max_context_tokens=256, float32=True).find("tiny")
    loaded = whole(entry.folder, float32=entry.float32)

    parameters: Any = tree_flatten(loaded.model.parameters())
    assert {array.dtype for _, array in parameters} == {mx.float32}
    assert loaded.size_bytes == entry.size_bytes
    assert entry.card().size_bytes == entry.file_bytes < entry.size_bytes


def test_without_float32_a_model_stays_as_it_is_stored(tmp_path: Path) -> None:
    build_llama(tmp_path / "tiny")
    entry = LocalModels(tmp_path, max_context_tokens=256).find("tiny")

    assert not entry.float32
    assert entry.size_bytes == entry.file_bytes


def test_threads_leave_cores_to_the_others() -> None:
    assert [most_threads(cores) for cores in (1, 2, 3, 4, 16)] == [1, 2, 2, 2, 8]
    assert [fitting_threads(free, most=8) for free in (-0.2, 0.4, 1.6, 5.2, 16)] == [1, 1, 2, 5, 8]


def test_a_container_has_the_cores_that_it_may_spend() -> None:
    bound = available_cores(GroupLimits())

    assert available_cores(GroupLimits(cpu_limit=0.5)) == 1
    assert available_cores(GroupLimits(cpu_limit=bound + 7.5)) == bound


def test_a_container_has_the_memory_of_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = GroupLimits(memory_limit_bytes=1_000_000_000)
    monkeypatch.setattr("llm.mlx_server.memory.group_limits", lambda: limits)

    assert choose_limit(None) == 750_000_000
