"""Prefixes on disk: found again after a restart, checked, bounded, and never in the way."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import KVCache

from llm.mlx_server.stored_prefixes import PrefixStore, StoredPrefixes

TOKENS = tuple(range(5, 70))
LIMIT = 2**20


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "llama"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@contextmanager
def stored(
    directory: Path, model: Path, *, held_as: str = "float32", limit: int = LIMIT
) -> Iterator[StoredPrefixes]:
    """Closed at the end: what waits is on the disk then."""
    store = PrefixStore(directory / "prefixes", limit)
    found = store.of_model(model, held_as=held_as)
    assert found is not None
    yield found
    store.close()


def cache(length: int = len(TOKENS), dtype: Any = mx.float32) -> list[Any]:
    layers = []
    for number in range(2):
        layer = KVCache()
        values = mx.arange(2 * length * 4).reshape(1, 2, length, 4).astype(dtype) + number
        layer.update_and_fetch(values, values + 0.5)
        layers.append(layer)
    return layers


def same(one: list[Any], other: list[Any]) -> bool:
    return all(
        a.offset == b.offset
        and mx.array_equal(a.keys_and_values()[half], b.keys_and_values()[half])
        for a, b in zip(one, other, strict=True)
        for half in (0, 1)
    )


def files(directory: Path) -> list[Path]:
    return sorted(path for path in (directory / "prefixes").rglob("*") if path.is_file())


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
def test_a_prefix_is_found_again_after_a_restart(tmp_path: Path, model: Path, dtype: Any) -> None:
    with stored(tmp_path, model) as before:
        before.keep(TOKENS, cache(dtype=dtype))

    with stored(tmp_path, model) as after:
        found = after.longest((*TOKENS, 7, 8), beyond=0)

    assert found is not None
    assert found.length == len(TOKENS)
    assert found.cache[0].keys.dtype == dtype
    assert same(found.cache, cache(dtype=dtype))


def test_the_longest_beginning_is_found_and_no_shorter_one_than_memory_has(
    tmp_path: Path, model: Path
) -> None:
    with stored(tmp_path, model) as prefixes:
        for length in (16, 40):
            prefixes.keep(TOKENS[:length], cache(length))

    with stored(tmp_path, model) as prefixes:
        found = prefixes.longest(TOKENS, beyond=0)
        assert found is not None
        assert found.length == 40
        assert prefixes.longest(TOKENS, beyond=40) is None
        assert prefixes.longest(TOKENS[:30], beyond=16) is None
        assert prefixes.longest((1, *TOKENS), beyond=0) is None


def test_other_weights_and_another_number_format_find_nothing(tmp_path: Path, model: Path) -> None:
    with stored(tmp_path, model) as prefixes:
        prefixes.keep(TOKENS, cache())

    with stored(tmp_path, model, held_as="stored") as other:
        assert other.longest(TOKENS, beyond=0) is None
    (model / "model.safetensors").write_bytes(b"trained")
    with stored(tmp_path, model) as other:
        assert other.longest(TOKENS, beyond=0) is None


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_file_is_removed_and_not_used(
    tmp_path: Path, model: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    with stored(tmp_path, model) as prefixes:
        prefixes.keep(TOKENS, cache())
    (file,) = files(tmp_path)
    content = file.read_bytes()
    file.write_bytes({"cut": content[:-9], "changed": content[:-1] + b"x", "empty": b""}[damage])

    with stored(tmp_path, model) as prefixes:
        assert prefixes.longest(TOKENS, beyond=0) is None

    assert files(tmp_path) == []
    assert "stored_prefix_removed" in caplog.text


def test_a_file_under_the_name_of_another_is_removed_and_not_used(
    tmp_path: Path, model: Path
) -> None:
    other = tuple(token + 1 for token in TOKENS)
    with stored(tmp_path, model) as prefixes:
        prefixes.keep(TOKENS, cache())
        prefixes.keep(other, cache())
    one, two = files(tmp_path)
    content = two.read_bytes()
    two.unlink()
    one.rename(one.with_name("-".join((*one.name.split("-")[:2], two.name.split("-")[2]))))
    (renamed,) = files(tmp_path)
    renamed.write_bytes(content)

    with stored(tmp_path, model) as prefixes:
        assert prefixes.longest(TOKENS, beyond=0) is None
        assert prefixes.longest(other, beyond=0) is None

    assert files(tmp_path) == []


def test_the_files_used_longest_ago_make_room(tmp_path: Path, model: Path) -> None:
    with stored(tmp_path, model) as prefixes:
        prefixes.keep(TOKENS, cache())
    size = files(tmp_path)[0].stat().st_size
    second, third = ((number, *TOKENS[1:]) for number in (200, 300))
    with stored(tmp_path, model) as prefixes:
        prefixes.keep(second, cache())
    for path in files(tmp_path):
        os.utime(path, (1, 1))
    with stored(tmp_path, model, limit=2 * size) as prefixes:
        assert prefixes.longest(TOKENS, beyond=0) is not None

        prefixes.keep(third, cache())

    with stored(tmp_path, model) as prefixes:
        found = [prefixes.longest(tokens, beyond=0) for tokens in (TOKENS, second, third)]
    assert [prefix is not None for prefix in found] == [True, False, True]
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 2 * size


def test_what_is_larger_than_the_bound_or_of_another_kind_is_not_stored(
    tmp_path: Path, model: Path
) -> None:
    with stored(tmp_path, model, limit=100) as prefixes:
        prefixes.keep(TOKENS, cache())
    with stored(tmp_path, model) as prefixes:
        prefixes.keep(TOKENS[:9], cache())

    assert files(tmp_path) == []


def test_a_full_disk_ends_the_writing_with_one_line_and_leaves_nothing(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with stored(tmp_path, model) as prefixes, caplog.at_level(logging.INFO):
        for number in range(5):
            prefixes.keep((number, *TOKENS[1:]), cache())

    assert files(tmp_path) == []
    assert caplog.text.count("No space left") == 1
