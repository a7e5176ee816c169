"""A cache that forgets what was used longest ago."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LruCache(Generic[K, V]):
    def __init__(self, size: int) -> None:
        self.size = size
        self._entries: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, load: Callable[[K], V]) -> V:
        value = self._entries.get(key)
        if value:
            return value
        value = load(key)
        self._entries[key] = value
        if len(self._entries) > self.size:
            self._entries.popitem(last=True)
        return value

    def __len__(self) -> int:
        return len(self._entries)
