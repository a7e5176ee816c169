"""Lists, health and versions from servers that answer anything at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm import errors
from llm.backends.base import BackendAdapter
from llm.backends.registry import build
from llm.types import BackendKind, BackendSpec, Deadlines, ModelInfo
from tests.unit.llm.raw_server import RawServer, raw_server, sends

FIELDS = [
    *("models", "data", "name", "model", "id", "size", "details", "parameter_size", "family"),
    *("capabilities", "model_info", "llama.context_length", "general.parameter_count", "meta"),
    *("expires_at", "size_vram", "context_length", "owned_by", "max_model_len", "n_params"),
    *("version", "active_requests", "loading_models", "error", "done"),
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["7.6B", "2026-01-01T00:00:00.123456789Z", "vllm", "..B"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5)
    ),
    max_leaves=10,
)
CALLS: list[Callable[[BackendAdapter], object]] = [
    lambda backend: backend.list_models(),
    lambda backend: backend.resident_models(),
    lambda backend: backend.describe(ModelInfo("m")),
    lambda backend: backend.version(),
    lambda backend: backend.unload("m"),
    lambda backend: backend.preload("m", deadlines=Deadlines(first_token_seconds=5.0)),
]


@pytest.fixture(scope="module")
def server() -> Iterator[RawServer]:
    with raw_server(sends()) as running:
        yield running


@pytest.fixture(scope="module", params=list(BackendKind))
def backend(request: pytest.FixtureRequest, server: RawServer) -> Iterator[BackendAdapter]:
    adapter = build(BackendSpec("raw", request.param, server.url), environ={})
    yield adapter
    adapter.close()


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(value=VALUES, junk=st.binary(max_size=3))
def test_any_json_is_a_value_or_a_mapped_error(
    backend: BackendAdapter, server: RawServer, value: object, junk: bytes
) -> None:
    body = json.dumps(value).encode() + junk
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    server.handler = sends(head % len(body) + body)

    for call in CALLS:
        try:
            call(backend)
        except errors.LLMError as exc:
            assert exc.backend == "raw"  # noqa: PT017 - either outcome is right
            assert not isinstance(exc, errors.PoisonedCall), repr(exc)  # noqa: PT017
    backend.health()


def answer(server: RawServer, value: object) -> None:
    body = json.dumps(value).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    server.handler = sends(head % len(body) + body)


def listing(names: list[object]) -> dict[str, list[object]]:
    return {
        "models": [{"name": name} for name in names],
        "data": [{"id": name, "owned_by": "vllm"} for name in names],
    }


def test_an_entry_without_a_usable_name_hides_no_other_model(
    backend: BackendAdapter, server: RawServer
) -> None:
    odd: list[object] = [None, 5, "", " ", "a\x00b", "a\nb", "\ud800", "x" * 100_000, ["m"]]
    answer(server, listing(["first", *odd, "second", "first"]))

    assert [model.name for model in backend.list_models()] == ["first", "second"]
    assert {model.name for model in backend.resident_models()} <= {"first", "second"}


@pytest.mark.parametrize("odd", [None, 5, "text", ["list"], [], {}])
def test_an_entry_that_is_no_object_hides_no_other_model(
    backend: BackendAdapter, server: RawServer, odd: object
) -> None:
    body = listing(["first", "second"])
    answer(server, {name: [odd, *entries] for name, entries in body.items()})

    assert [model.name for model in backend.list_models()] == ["first", "second"]
    assert {model.name for model in backend.resident_models()} <= {"first", "second"}


def test_a_list_that_names_no_model_is_an_error(backend: BackendAdapter, server: RawServer) -> None:
    answer(server, listing([None, 5]))

    with pytest.raises(errors.StreamBroken, match="no model in the list has a name"):
        backend.list_models()
