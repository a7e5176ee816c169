"""Hostile requests for the MLX API server: wrong types, huge values, broken bytes, rude callers."""

from __future__ import annotations

import json
import socket
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

ANSWER_SECONDS = 30.0
PATHS = ("/api/generate", "/api/chat", "/v1/chat/completions", "/api/show")
TEXT_KEYS = ("model", "prompt", "system", "role", "content", "format", "keep_alive", "stop")
NUMBER_KEYS = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "num_predict",
    "num_ctx",
    "max_tokens",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
    "n",
)

_odd_numbers = st.one_of(
    st.integers(-3, 10),
    st.sampled_from([10**30, -(10**30), 2**31, 2**63, 0.5, 1e308, -1e308]),
    st.floats(),
)
_odd_texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["", "\x00", "\ud800", "\uffff" * 50, "x" * 5000, "<|end|>", "5m", "-1"]),
)
_odd = st.recursive(
    st.one_of(st.none(), st.booleans(), _odd_numbers, _odd_texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(_odd_texts, inner, max_size=3)
    ),
    max_leaves=6,
)
_models = st.sampled_from(["llama", "qwen", "solo", "base", "../llama", "/etc/passwd", ""])
_message = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "x"]), "content": _odd_texts}
)
_options = st.dictionaries(st.sampled_from([*NUMBER_KEYS, "stop"]), _odd, max_size=3)
_sound_body = st.fixed_dictionaries(
    {"model": _models, "stream": st.booleans()},
    optional={
        "messages": st.lists(_message, max_size=3),
        "prompt": _odd_texts,
        "options": _options,
        "logit_bias": st.dictionaries(
            st.sampled_from(["1", "511", "512", "-1", "99999999999", "x"]), _odd_numbers, max_size=2
        ),
        "format": st.one_of(st.sampled_from(["json", {}, {"type": "object"}]), _odd),
        "raw": st.booleans(),
        "think": _odd,
        "keep_alive": _odd,
    },
)
_unusual_body = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["llama", "qwen", "solo"]),
        "stream": st.booleans(),
        "messages": st.lists(
            st.fixed_dictionaries({"role": st.just("user"), "content": st.text(max_size=200)}),
            min_size=1,
            max_size=3,
        ),
        "prompt": st.text(min_size=1, max_size=200),
    },
    optional={
        "temperature": st.sampled_from([0, 1e-30, 0.01, 1, 100]),
        "top_p": st.sampled_from([0, 1e-9, 0.5, 1]),
        "top_k": st.sampled_from([0, 1, 511, 512, 10**6]),
        "stop": st.lists(st.text(min_size=1, max_size=3), max_size=4),
        "seed": st.integers(-5, 2**53),
        "logit_bias": st.dictionaries(st.sampled_from(["0", "511"]), st.integers(-100, 100)),
        "options": st.fixed_dictionaries(
            {},
            optional={
                "temperature": st.floats(0, 100),
                "top_p": st.floats(0, 1),
                "min_p": st.floats(0, 1),
                "top_k": st.integers(0, 1000),
                "repeat_penalty": st.floats(0.01, 100),
                "repeat_last_n": st.integers(-1, 100),
                "num_predict": st.integers(-2, 10**6),
            },
        ),
    },
)
_spoilt_fields = st.dictionaries(
    st.sampled_from([*TEXT_KEYS, *NUMBER_KEYS, "messages", "options", "stream_options", "tools"]),
    _odd,
    max_size=2,
)


@dataclass(frozen=True, slots=True)
class HostileRequest:
    """Bytes to send, and how rudely. ``half_close`` stops sending, ``abandon`` hangs up."""

    raw: bytes
    half_close: bool = False
    abandon: bool = False


@dataclass(slots=True)
class FuzzTally:
    """What came back: statuses (0: the connection was closed without an answer)."""

    statuses: Counter[int] = field(default_factory=Counter)


@st.composite
def hostile_requests(draw: st.DrawFn) -> HostileRequest:
    """One hostile request."""
    payload = draw(st.one_of(_json_payloads(), _json_payloads(), _broken_payloads()))
    path = draw(st.sampled_from(PATHS))
    length = len(payload) + draw(st.sampled_from([0, 0, 0, 0, 7, 10**9]))
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n"
    rude = length != len(payload)
    return HostileRequest(
        head.encode() + b"\r\n" + payload,
        half_close=rude or draw(st.integers(0, 9)) == 0,
        abandon=draw(st.integers(0, 9)) == 0,
    )


def send(port: int, request: HostileRequest, tally: FuzzTally) -> None:
    """Send it and note the status. AssertionError for a 500 or for no end within the deadline."""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as caller:
        answer = b""
        try:
            caller.sendall(request.raw)
            if request.half_close:
                caller.shutdown(socket.SHUT_WR)
            if request.abandon:
                tally.statuses[-1] += 1
                return
            answer = _read_all(caller)
        except TimeoutError as error:
            raise AssertionError(f"no answer to {request.raw[:300]!r}") from error
        except OSError:
            pass  # the server may close on a caller that lies about its length
    status = int(answer.split(b" ", 2)[1]) if answer else 0
    tally.statuses[status] += 1
    assert status in (0, 200, 400, 404, 413, 422, 503), (request.raw[:500], answer[:500])


def _json_payloads() -> st.SearchStrategy[bytes]:
    spoilt = st.builds(_merge, _sound_body, _spoilt_fields)
    bodies = st.one_of(_unusual_body, spoilt, _unusual_body, _sound_body, _odd)
    return bodies.map(lambda body: json.dumps(body).encode())


def _merge(body: dict[str, Any], spoilt: dict[str, Any]) -> dict[str, Any]:
    return {**body, **spoilt}


def _broken_payloads() -> st.SearchStrategy[bytes]:
    return st.one_of(
        st.binary(max_size=50),
        st.just(b'{"model": "llama", "prompt": "\xff\xfe\x80"}'),
        st.just(b'{"a":' * 20_000),
        st.just(b"[" * 50_000),
        st.just(b'{"model": "llama", "prompt": "' + b"x" * 3_000_000 + b'"}'),
        st.just(b'{"model": "llama", "prompt": ' + b"9" * 10_000 + b"}"),
    )


def _read_all(caller: socket.socket) -> bytes:
    parts = []
    while part := caller.recv(65_536):
        parts.append(part)
    return b"".join(parts)
