"""Key-value caches of prompt beginnings on disk, so that a restart or an eviction forgets none.

A file holds the keys and values of one prefix. Its name says how many tokens the prefix has, what
they are, and what the file contains; a folder for each model says by which weights, in which number
format and by which version of mlx-lm they were computed. All of it is checked when a file is read,
and a file that does not fit is removed. Reads belong to the engine thread; writes have a thread of
their own, which sees no MLX object.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import KVCache
from safetensors import SafetensorError
from safetensors.numpy import load, save

logger = logging.getLogger(__name__)

MOST_WAITING = 2
"""Prefixes that wait for the disk; further ones stay in memory only."""
CLOSE_SECONDS = 5.0
ABANDONED_SECONDS = 3600.0
"""A partial file of this age belongs to no living process."""

_NAME = re.compile(r"(?P<length>\d{1,9})-(?P<tokens>[0-9a-f]{64})-(?P<content>[0-9a-f]{64})\.kv")
_PARTIAL = ".partial"
_FORMATS = {"float32": mx.uint32, "float16": mx.uint16, "bfloat16": mx.uint16}
"""Values are stored as their bits: numpy has no bfloat16."""
_TOKENS = "tokens"


class StoredPrefix(NamedTuple):
    """The first ``length`` tokens of a prompt, computed."""

    cache: list[Any]
    length: int


class PrefixStore:
    """``folder`` holds at most ``limit_bytes`` over all models; the files used longest ago go
    first. A disk that refuses a file ends the writing, with one line in the log (``refused``)."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self.refused = False
        self._waiting: queue.Queue[tuple[Path, Mapping[str, Any]] | None]
        self._waiting = queue.Queue(MOST_WAITING)
        self._writer = threading.Thread(target=self._write_all, name="prefixes", daemon=True)
        self._writer.start()

    def of_model(self, model_folder: Path, *, held_as: str) -> StoredPrefixes | None:
        """Those of the model in ``model_folder``, whose weights are held as ``held_as``; None where
        it cannot be told from others."""
        try:
            return StoredPrefixes(self, self._folder / _identity(model_folder, held_as))
        except OSError as error:
            logger.warning("prefixes_not_stored model=%s error=%s", model_folder.name, error)
            return None

    def write(self, path: Path, arrays: Mapping[str, Any]) -> None:
        """Write when the disk has time; forgotten where too many wait already. The hash of the
        content is added to the name."""
        try:
            self._waiting.put_nowait((path, arrays))
        except queue.Full:
            logger.debug("prefix_not_stored reason=%d wait for the disk", MOST_WAITING)

    def close(self) -> None:
        """Write what waits, for at most a few seconds."""
        try:
            self._waiting.put(None, timeout=CLOSE_SECONDS)
        except queue.Full:
            return
        self._writer.join(CLOSE_SECONDS)

    def _write_all(self) -> None:
        while (item := self._waiting.get()) is not None:
            if self.refused:
                continue
            try:
                self._write(*item)
                self._make_room()
            except OSError as error:
                self.refused = True
                logger.warning("prefixes_no_longer_stored folder=%s error=%s", self._folder, error)

    def _write(self, path: Path, arrays: Mapping[str, Any]) -> None:
        """The file appears whole under its final name, or not at all."""
        content = save(dict(arrays))
        if len(content) > self._limit_bytes:
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}-{os.getpid()}{_PARTIAL}")
        try:
            partial.write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            partial.replace(path.with_name(f"{path.name}-{digest}.kv"))
        finally:
            partial.unlink(missing_ok=True)

    def _make_room(self) -> None:
        total = 0
        for used_at, size_bytes, path in sorted(_files(self._folder), reverse=True):
            total += size_bytes
            abandoned = path.suffix == _PARTIAL and time.time() - used_at > ABANDONED_SECONDS
            if abandoned or (total > self._limit_bytes and path.suffix != _PARTIAL):
                path.unlink(missing_ok=True)


class StoredPrefixes:
    """The prefixes of one model. Engine thread only."""

    def __init__(self, store: PrefixStore, folder: Path) -> None:
        self._store = store
        self._folder = folder

    def longest(self, tokens: Sequence[int], *, beyond: int) -> StoredPrefix | None:
        """The longest stored beginning of ``tokens`` with more than ``beyond`` of them."""
        ids = _ids(tokens)
        for length, tokens_hash, content in sorted(self._names(), reverse=True):
            if not beyond < length <= len(ids) or tokens_hash != _hash_of(ids[:length]):
                continue
            path = self._folder / f"{length}-{tokens_hash}-{content}.kv"
            cache = _read(path, ids[:length], content)
            if cache is not None:
                return StoredPrefix(cache, length)
        return None

    def keep(self, tokens: Sequence[int], cache: Sequence[Any]) -> None:
        """Store the cache of ``tokens``, where it is of the plain kind and not stored yet."""
        if self._store.refused:
            return
        ids = _ids(tokens)
        name = len(ids), _hash_of(ids)
        plain = all(type(layer) is KVCache and layer.offset == len(tokens) for layer in cache)
        if not cache or not plain or any(found[:2] == name for found in self._names()):
            return
        arrays = {_TOKENS: ids}
        for number, layer in enumerate(cache):
            for half, values in (("keys", layer.keys), ("values", layer.values)):
                form = str(values.dtype).removeprefix("mlx.core.")
                if form not in _FORMATS:
                    return
                bits = mx.contiguous(values[..., : len(tokens), :]).view(_FORMATS[form])
                arrays[f"{number}.{half}.{form}"] = np.array(bits)
        self._store.write(self._folder / f"{name[0]}-{name[1]}", arrays)

    def _names(self) -> Iterator[tuple[int, str, str]]:
        """(length, hash of the tokens, hash of the content) of every file."""
        try:
            found = os.listdir(self._folder)
        except OSError:
            return  # Nothing was stored yet; what cannot be written is logged by the writer.
        for name in found:
            if parts := _NAME.fullmatch(name):
                yield int(parts["length"]), parts["tokens"], parts["content"]


def _read(path: Path, ids: Any, digest: str) -> list[Any] | None:
    """The cache in a file; None for one that is gone or is not what its name says, which is
    removed."""
    try:
        content = path.read_bytes()
        cache = _cache_in(_checked(content, digest), ids)
        os.utime(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        logger.warning("stored_prefix_removed file=%s reason=%s", path, error)
        _remove(path)
        return None
    return cache


def _checked(content: bytes, digest: str) -> dict[str, Any]:
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError("its content has changed")
    return load(content)


def _cache_in(arrays: dict[str, Any], ids: Any) -> list[Any]:
    if not np.array_equal(arrays.pop(_TOKENS), ids):
        raise ValueError("it belongs to another prompt")
    layers: dict[int, dict[str, Any]] = {}
    for name, bits in arrays.items():
        number, half, form = name.split(".")
        if form not in _FORMATS or bits.ndim != 4 or bits.shape[2] != len(ids):
            raise ValueError(f"{name} has the shape {bits.shape}")
        values = mx.array(bits).view(getattr(mx, form))
        layers.setdefault(int(number), {})[half] = values
    cache = []
    for _, halves in sorted(layers.items()):
        layer = KVCache()
        layer.state = halves["keys"], halves["values"], len(ids)
        cache.append(layer)
    mx.eval([layer.state[:2] for layer in cache])
    return cache


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("stored_prefix_not_removed file=%s error=%s", path, error)


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """(when it was used, bytes, path) of every file of ours in the folders of all models."""
    for path in folder.glob("*/*"):
        if path.suffix != _PARTIAL and not _NAME.fullmatch(path.name):
            continue
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        yield found.st_mtime, found.st_size, path


def _ids(tokens: Sequence[int]) -> Any:
    return np.array(tokens, dtype=np.int64)


def _hash_of(ids: Any) -> str:
    return hashlib.sha256(ids.tobytes()).hexdigest()


def _identity(model_folder: Path, held_as: str) -> str:
    """Of a model as it computes: its configuration, its weights as files, and who computes."""
    parts = [held_as, version("mlx-lm")]
    for path in sorted(model_folder.glob("*.safetensors")):
        found = path.stat()
        parts.append(f"{path.name} {found.st_size} {found.st_mtime_ns}")
    identity = hashlib.sha256("\n".join(parts).encode())
    identity.update((model_folder / "config.json").read_bytes())
    return identity.hexdigest()[:32]
