from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from llm import errors
from llm.backends.ollama_wire import OllamaChat
from llm.backends.streaming import WireCall, complete
from llm.types import CancelToken, Deadlines, GenerateRequest, Message
from llm.watch import LINGER_SECONDS, CallWatch


class Connection:
    """A connection whose other end stays silent."""

    def __init__(self) -> None:
        self.sock: socket.socket | None
        self.sock, self.peer = socket.socketpair()
        self.watch: CallWatch | None = None

    def read(self) -> bytes:
        assert self.sock is not None
        self.sock.settimeout(10.0)
        return self.sock.recv(10)

    def close(self) -> None:
        assert self.sock is not None
        self.sock.close()
        self.peer.close()


@pytest.fixture
def connection() -> Iterator[Connection]:
    made = Connection()
    yield made
    made.close()


def test_a_silent_read_ends_when_the_phase_is_over(connection: Connection) -> None:
    with CallWatch(total_seconds=10.0) as watch:
        watch.attach(connection, reused=False)
        watch.expect(lambda seconds: errors.StallTimeout(f"{seconds}"), 0.05)

        assert connection.read() == b""
        with pytest.raises(errors.StallTimeout):
            watch.check()


def test_a_cancel_after_the_last_token_takes_no_answer_away(connection: Connection) -> None:
    token = CancelToken()
    with CallWatch(total_seconds=10.0, cancel=token) as watch:
        watch.attach(connection, reused=False)
        # The end mark was read; the cancel comes while what follows it is drained, and after that.
        token.cancel("a person cancels")
        watch.complete()
        watch.abort(errors.TotalTimeout("late"))

        watch.check()


def test_progress_postpones_the_end_of_the_phase() -> None:
    with CallWatch(total_seconds=60.0) as watch:
        watch.expect(lambda seconds: errors.StallTimeout("early"), 20.0)
        before = watch.due_at()
        time.sleep(0.01)
        watch.touch()

        assert watch.due_at() > before


def test_progress_does_not_postpone_the_total(connection: Connection) -> None:
    with CallWatch(total_seconds=0.1) as watch:
        watch.attach(connection, reused=False)
        watch.expect(lambda seconds: errors.StallTimeout("early"), 20.0)
        end = time.monotonic() + 5.0
        while watch.verdict is None and time.monotonic() < end:
            watch.touch()
            time.sleep(0.01)

    assert isinstance(watch.verdict, errors.TotalTimeout)


def test_a_new_phase_may_be_shorter_than_the_last(connection: Connection) -> None:
    with CallWatch(total_seconds=10.0) as watch:
        watch.attach(connection, reused=False)
        watch.expect(lambda seconds: errors.FirstTokenTimeout("first"), 9.0)
        watch.expect(lambda seconds: errors.StallTimeout("second"), 0.05)

        assert connection.read() == b""
    assert isinstance(watch.verdict, errors.StallTimeout)


def test_a_cancel_ends_a_read_at_once(connection: Connection) -> None:
    token = CancelToken()
    with CallWatch(total_seconds=10.0, cancel=token) as watch:
        watch.attach(connection, reused=False)
        canceller = threading.Timer(0.02, token.cancel, ("lease lost",))
        canceller.start()
        assert connection.read() == b""
        canceller.join()

    assert isinstance(watch.verdict, errors.CallCancelled)


def test_a_call_cancelled_before_it_has_a_connection_gets_none(connection: Connection) -> None:
    token = CancelToken()
    token.cancel("drain")
    with (
        CallWatch(total_seconds=10.0, cancel=token) as watch,
        pytest.raises(errors.CallCancelled, match="drain"),
    ):
        watch.attach(connection, reused=False)


def test_a_call_that_is_over_leaves_the_connection_to_the_next(connection: Connection) -> None:
    with CallWatch(total_seconds=10.0) as first:
        first.attach(connection, reused=False)
    with CallWatch(total_seconds=10.0) as second:
        second.attach(connection, reused=True)
        first.abort(errors.TotalTimeout("late"))
        connection.peer.sendall(b"alive")

        assert connection.read() == b"alive"


def test_a_verdict_on_a_call_whose_connection_moved_on_harms_nobody(
    connection: Connection,
) -> None:
    with CallWatch(total_seconds=10.0) as first, CallWatch(total_seconds=10.0) as second:
        first.attach(connection, reused=False)
        second.attach(connection, reused=True)
        first.abort(errors.TotalTimeout("late"))
        connection.peer.sendall(b"alive")

        assert connection.read() == b"alive"


def test_many_calls_need_one_thread_and_leave_none() -> None:
    watches = [CallWatch(total_seconds=30.0) for _ in range(300)]
    for watch in watches:
        watch.__enter__()
    assert len(watching_threads()) == 1
    for watch in watches:
        watch.detach()

    end = time.monotonic() + LINGER_SECONDS + 5.0
    while watching_threads():
        assert time.monotonic() < end
        time.sleep(0.02)


def watching_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "llm-watch"]


def test_each_token_of_a_stream_is_progress_and_begins_the_wait_for_the_next_one() -> None:
    moments: list[float] = []
    phases: list[float] = []

    def chunks(watch: CallWatch) -> Iterator[bytes]:
        for token in ("One", " two", " three"):
            phases.append(watch.due_at() - watch.progress_at)
            yield json.dumps({"message": {"content": token}}).encode() + b"\n"
            moments.append(watch.progress_at)
        yield b'{"done": true, "done_reason": "stop"}\n'

    @contextmanager
    def stream(path: str, body: object, *, watch: CallWatch, **more: object) -> Iterator[Any]:
        yield SimpleNamespace(chunks=chunks(watch), drain=lambda: None)

    request = GenerateRequest("m", (Message("user", "Count."),), max_tokens=20)
    transport: Any = SimpleNamespace(stream=stream)
    deadlines = Deadlines(first_token_seconds=200.0, between_tokens_seconds=40.0)

    answer = complete(transport, WireCall(OllamaChat(), request), backend="b", deadlines=deadlines)

    assert answer.text == "One two three"
    assert moments == sorted(set(moments)), "later with each token"
    assert phases == pytest.approx([200.0, 40.0, 40.0])
