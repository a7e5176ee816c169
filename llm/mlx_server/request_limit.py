"""How many requests the server accepts at once, checked before any costly work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from llm.mlx_server.errors import Unavailable


class RequestLimit:
    """Counts requests from acceptance to their last byte. For the event loop's thread only.

    At most ``max_active`` requests are decoded and ``max_queue`` wait; for one model at most
    ``max_active`` plus ``max_queue_per_model``.
    """

    def __init__(
        self,
        *,
        max_active: int,
        max_queue: int,
        max_queue_per_model: int,
        retry_after_seconds: int,
    ) -> None:
        self.inside = 0
        self.refused = 0
        self.draining = False
        self._most = max_active + max_queue
        self._most_per_model = max_active + max_queue_per_model
        self._per_model: Counter[str] = Counter()
        self._retry_after_seconds = retry_after_seconds

    @contextmanager
    def enter(self, model: str) -> Iterator[None]:
        """Hold a place for the duration of the block. Raises Unavailable when there is none."""
        self._check(model)
        self.inside += 1
        self._per_model[model] += 1
        try:
            yield
        finally:
            self.inside -= 1
            self._per_model[model] -= 1
            if not self._per_model[model]:
                del self._per_model[model]

    def _check(self, model: str) -> None:
        if self.draining:
            self._refuse("the server is draining")
        if self.inside >= self._most:
            self._refuse(f"server busy: {self.inside} requests inside, maximum pending exceeded")
        if self._per_model[model] >= self._most_per_model:
            self._refuse(f"model {model!r} busy: maximum pending requests exceeded")

    def _refuse(self, message: str) -> None:
        self.refused += 1
        raise Unavailable(message, retry_after_seconds=self._retry_after_seconds)
