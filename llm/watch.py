"""Deadlines and cancellation of running calls.

A call that waits on a silent socket cannot check a clock. So one thread per process, which exists
only while there are calls, shuts down the socket of a call whose deadline has passed; a cancel
token does the same in the thread that cancels. The reader then raises the stored error.
"""

from __future__ import annotations

import heapq
import itertools
import socket
import threading
import time
from collections.abc import Callable
from typing import Protocol

from llm import errors
from llm.types import CancelToken

LINGER_SECONDS = 0.5

_lock = threading.Lock()


class Interruptible(Protocol):
    """A connection whose socket can be shut down; ``watch`` is the call that owns it now."""

    sock: socket.socket | None
    watch: CallWatch | None


class CallWatch:
    """One call under watch; a context manager.

    ``expect`` starts a phase: its error is raised when ``seconds`` pass without `touch`. The total
    deadline covers all phases.
    """

    def __init__(self, *, total_seconds: float, cancel: CancelToken | None = None) -> None:
        self.started_at = time.monotonic()
        self.progress_at = self.started_at
        self.verdict: errors.LLMError | None = None
        self.closed = False
        self.reused_connection = False
        self._connection: Interruptible | None = None
        self._total_at = self.started_at + total_seconds
        self._total_seconds = total_seconds
        self._idle_seconds = total_seconds
        self._idle_error: Callable[[float], errors.LLMError] | None = None
        self._cancel = cancel
        self._forget_cancel: Callable[[], None] = lambda: None

    def __enter__(self) -> CallWatch:
        _watcher.add(self)
        if self._cancel is not None:
            self._forget_cancel = self._cancel.on_cancel(self._cancelled)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.detach()

    @property
    def longest_wait_seconds(self) -> float:
        """The longest that a single wait of this call may take."""
        return self._total_seconds

    def expect(self, error: Callable[[float], errors.LLMError], seconds: float) -> None:
        """Start a phase; ``error(seconds)`` is raised if nothing arrives for ``seconds``."""
        self.progress_at = time.monotonic()
        self._idle_error = error
        self._idle_seconds = seconds
        _watcher.reschedule(self)

    def touch(self) -> None:
        """Record activity: the phase's time starts again."""
        self.progress_at = time.monotonic()

    def check(self) -> None:
        """Raise the stored error, if there is one."""
        if self.verdict is not None:
            raise self.verdict

    def attach(self, connection: Interruptible, *, reused: bool) -> None:
        """Make the connection this call's; raises if the call has already ended."""
        with _lock:
            connection.watch = self
            self._connection = connection
            self.reused_connection = reused
        self.check()

    def detach(self) -> None:
        """Release the connection for other calls."""
        self._forget_cancel()
        with _lock:
            if self.closed:
                return
            self.closed = True
            self._release()
        _watcher.remove()

    def complete(self) -> None:
        """End the call successfully: an error stored after this has no effect."""
        self.detach()
        self.verdict = None

    def abort(self, verdict: errors.LLMError) -> None:
        """End the call from another thread; the first error stays."""
        with _lock:
            if self.closed or self.verdict is not None:
                return
            self.verdict = verdict
            connection = self._connection
            if connection is not None and connection.watch is self and connection.sock is not None:
                _shut_down(connection.sock)

    def due_at(self) -> float:
        """When the call ends if nothing arrives before (monotonic seconds)."""
        return min(self.progress_at + self._idle_seconds, self._total_at)

    def expire(self) -> None:
        if self._total_at <= self.progress_at + self._idle_seconds or self._idle_error is None:
            self.abort(
                errors.TotalTimeout(f"the call took longer than {self._total_seconds:g} s in all")
            )
        else:
            self.abort(self._idle_error(self._idle_seconds))

    def _cancelled(self) -> None:
        reason = self._cancel.reason if self._cancel else None
        self.abort(errors.CallCancelled(f"cancelled: {reason}"))

    def _release(self) -> None:
        if self._connection is not None and self._connection.watch is self:
            self._connection.watch = None
        self._connection = None


class _Watcher:
    """The watching thread. Its heap holds (due, tie-break, watch); a later due time is pushed
    again."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, CallWatch]] = []
        self._ties = itertools.count()
        self._live = 0
        self._thread: threading.Thread | None = None

    def add(self, watch: CallWatch) -> None:
        with self._changed:
            self._live += 1
            self._push(watch)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="llm-watch", daemon=True)
                self._thread.start()

    def reschedule(self, watch: CallWatch) -> None:
        with self._changed:
            self._push(watch)

    def remove(self) -> None:
        with self._changed:
            self._live -= 1
            if self._live == 0:
                self._heap.clear()
                self._changed.notify()
            elif len(self._heap) > 64 and len(self._heap) > 8 * self._live:
                self._heap = [entry for entry in self._heap if not entry[2].closed]
                heapq.heapify(self._heap)

    def _push(self, watch: CallWatch) -> None:
        entry = (watch.due_at(), next(self._ties), watch)
        heapq.heappush(self._heap, entry)
        if self._heap[0] is entry:
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._wait_for_due():
                    self._thread = None
                    return
                _, _, watch = heapq.heappop(self._heap)
                if watch.closed or watch.verdict is not None:
                    continue
                if watch.due_at() > time.monotonic():
                    self._push(watch)
                    continue
            watch.expire()

    def _wait_for_due(self) -> bool:
        """False when there has been nothing to watch for a while."""
        while True:
            if not self._heap:
                if not self._changed.wait(LINGER_SECONDS) and not self._live:
                    return False
                continue
            delay = self._heap[0][0] - time.monotonic()
            if delay <= 0:
                return True
            self._changed.wait(delay)


def _shut_down(sock: socket.socket) -> None:
    """Shut the socket down, so that its reader gets end of file. TLS sockets skip the closing
    handshake."""
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return  # Already closed: nobody waits on it.


_watcher = _Watcher()
