"""The next request of a server: callers take turns, each with its oldest request."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """A caller with fifty requests holds up one with a single request for one turn at most."""

    def __init__(self) -> None:
        self._callers: OrderedDict[str, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(line) for line in self._callers.values())

    def put(self, caller: str, item: T) -> None:
        self._callers.setdefault(caller, deque()).append(item)

    def upcoming(self, most: int) -> list[tuple[str, T]]:
        """The next ``most`` items with their callers, in turn; they stay until taken or removed."""
        found: list[tuple[str, T]] = []
        round_ = deque((caller, iter(line)) for caller, line in self._callers.items())
        while round_ and len(found) < most:
            caller, line = round_.popleft()
            for item in line:
                found.append((caller, item))
                round_.append((caller, line))
                break
        return found

    def take(self, caller: str, item: T) -> bool:
        """The item was served: its caller goes to the end of the round. False where it gave up."""
        if item not in self._callers.get(caller, ()):
            return False
        self.remove(caller, item)
        if caller in self._callers:
            self._callers.move_to_end(caller)
        return True

    def remove(self, caller: str, item: T) -> None:
        """An item that gave up; nothing happens where it is not in the queue."""
        line = self._callers.get(caller)
        if line is None or item not in line:
            return
        line.remove(item)
        if not line:
            del self._callers[caller]

    def position(self, caller: str, item: T) -> int:
        """How many requests will be served before it."""
        place = self._callers[caller].index(item)
        ahead = place
        before_us = True
        for other, line in self._callers.items():
            if other == caller:
                before_us = False
                continue
            ahead += min(len(line), place + (1 if before_us else 0))
        return ahead
