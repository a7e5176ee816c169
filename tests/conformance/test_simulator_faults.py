"""Every fault, seen at the socket, on every wire format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from llm.simulator.faults import FAULTS, HARMLESS
from tests.support.simulators import Kind, RunningSimulator, simulator

PROMPT = "Explain how database indexes speed up queries"
WIRES: list[tuple[Kind, str, str]] = [
    ("ollama", "/api/generate", "phi3.5:3.8b"),
    ("ollama", "/api/chat", "phi3.5:3.8b"),
    ("mlx", "/api/chat", "phi3.5:3.8b"),
    ("openai", "/v1/chat/completions", "llama-3.1-8b-instruct"),
]
SHORT_SECONDS = 0.3
DEADLINE_SECONDS = 10.0


class Wire:
    """One way to ask a simulator for a completion."""

    def __init__(self, server: RunningSimulator, path: str, model: str) -> None:
        self.server = server
        self.path = path
        self.model = model

    def ask(
        self, *, stream: bool, timeout: float = DEADLINE_SECONDS, **fields: Any
    ) -> requests.Response:
        body: dict[str, Any] = {"model": self.model, "stream": stream, **fields}
        if self.path == "/api/generate":
            body["prompt"] = PROMPT
        else:
            body["messages"] = [{"role": "user", "content": PROMPT}]
        url = self.server.url + self.path
        headers = {"X-Task-Id": "task-7", "Connection": "close"}
        answer = requests.post(url, json=body, timeout=timeout, headers=headers, stream=True)
        answer.raw.decode_content = True
        return answer

    def limited(self, tokens: int) -> dict[str, Any]:
        is_openai = self.path.startswith("/v1")
        return {"max_tokens": tokens} if is_openai else {"options": {"num_predict": tokens}}

    def text(self, data: bytes) -> str:
        """The answer in a whole stream."""
        pieces = []
        for line in data.split(b"\n"):
            line = line.removeprefix(b"data: ")
            if line and line != b"[DONE]":
                pieces.append(_text_of(json.loads(line)))
        return "".join(pieces)

    @staticmethod
    def is_terminated(data: bytes) -> bool:
        return b'"done":true' in data or b"data: [DONE]" in data


def _text_of(chunk: dict[str, Any]) -> str:
    if "choices" in chunk:
        choices = chunk["choices"]
        return (choices[0]["delta"].get("content") or "") if choices else ""
    said = chunk["message"]["content"] if "message" in chunk else chunk["response"]
    return str(said)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[Kind, RunningSimulator]]:
    with simulator("ollama") as one, simulator("mlx") as two, simulator("openai") as three:
        yield {"ollama": one, "mlx": two, "openai": three}


@pytest.fixture(params=WIRES, ids=[f"{kind}{path}" for kind, path, _ in WIRES])
def wire(request: pytest.FixtureRequest, servers: dict[Kind, RunningSimulator]) -> Iterator[Wire]:
    kind, path, model = request.param
    servers[kind].reset()
    yield Wire(servers[kind], path, model)
    servers[kind].wait_until(lambda stats: stats["in_flight"]["now"] == 0)


def test_a_good_stream_ends_with_its_marker(wire: Wire) -> None:
    answer = wire.ask(stream=True)
    data = answer.content
    assert wire.is_terminated(data)
    assert wire.text(data).startswith(f"[simulated {wire.model}] ")
    entry = wire.server.stats()["journal"][-1]
    assert entry["outcome"] == "completed"
    assert entry["task_id"] == "task-7"
    assert entry["arrived_at"] <= entry["started_at"] <= entry["first_byte_at"] <= entry["ended_at"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fault", ["reset", "drop"])
def test_connections_break(wire: Wire, fault: str, stream: bool) -> None:
    wire.server.fault(fault)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        wire.ask(stream=stream).content  # noqa: B018
    assert wire.server.stats()["harmed"] == 1


@pytest.mark.parametrize("fault", ["truncate", "half-line"])
def test_streams_end_politely_without_their_marker(wire: Wire, fault: str) -> None:
    wire.server.fault(fault, after_tokens=5)
    data = wire.ask(stream=True).content
    assert not wire.is_terminated(data)
    assert data.endswith(b"\n") is (fault == "truncate")
    assert wire.server.stats()["journal"][-1]["completion_tokens"] == 5


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fault", ["reset", "drop"])
def test_connections_break_before_the_first_byte(wire: Wire, fault: str, stream: bool) -> None:
    wire.server.fault(fault, after_tokens=0)
    with pytest.raises(requests.ConnectionError, match=r"reset|closed|Remote"):
        wire.ask(stream=stream)
    assert wire.server.stats()["harmed"] == 1


def test_a_stream_is_empty(wire: Wire) -> None:
    wire.server.fault("truncate", after_tokens=0)
    answer = wire.ask(stream=True)
    assert answer.status_code == 200
    assert not wire.is_terminated(answer.content)
    assert wire.server.stats()["journal"][-1]["completion_tokens"] == 0


@pytest.mark.parametrize("tokens", [2, 3])
def test_an_answer_too_short_for_its_harm_is_harmed_at_its_end(wire: Wire, tokens: int) -> None:
    wire.server.fault("truncate", after_tokens=3)
    assert not wire.is_terminated(wire.ask(stream=True, **wire.limited(tokens)).content)


@pytest.mark.parametrize("fault", ["truncate", "half-line"])
def test_whole_answers_end_in_the_middle(wire: Wire, fault: str) -> None:
    wire.server.fault(fault)
    answer = wire.ask(stream=False)
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.content)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fault", ["dead", "hang-before", "hang-after"])
def test_servers_fall_silent_while_health_is_green(wire: Wire, fault: str, stream: bool) -> None:
    wire.server.fault(fault)
    with pytest.raises((requests.Timeout, requests.ConnectionError)):
        wire.ask(stream=stream, timeout=SHORT_SECONDS).content  # noqa: B018
    assert requests.get(f"{wire.server.url}/v1/models", timeout=DEADLINE_SECONDS).ok
    stats = wire.server.wait_until(lambda stats: stats["aborted"] == 1)
    assert stats["streams"]["now"] == 0


@pytest.mark.parametrize("fault", ["401", "404", "429", "500", "503"])
def test_statuses_come_with_a_body_and_a_time_to_wait(wire: Wire, fault: str) -> None:
    wire.server.fault(fault, retry_after_seconds=4)
    answer = wire.ask(stream=True)
    assert answer.status_code == int(fault)
    assert "error" in answer.json()
    assert answer.headers.get("Retry-After") == ("4" if fault in ("429", "503") else None)


def test_an_error_comes_after_a_good_beginning(wire: Wire) -> None:
    wire.server.fault("error-line")
    answer = wire.ask(stream=True)
    last = answer.content.strip().split(b"\n")[-1].removeprefix(b"data: ")
    assert answer.status_code == 200
    assert "error" in json.loads(last)
    assert wire.ask(stream=False).status_code == 500


@pytest.mark.parametrize("stream", [True, False])
def test_bytes_are_no_text(wire: Wire, stream: bool) -> None:
    wire.server.fault("invalid-utf8")
    data = wire.ask(stream=stream).content
    assert wire.is_terminated(data) or not stream
    with pytest.raises(UnicodeDecodeError):
        data.decode()


def test_a_line_is_giant(wire: Wire) -> None:
    wire.server.fault("giant-line", size_bytes=3_000_000)
    lines = wire.ask(stream=True).content.split(b"\n")
    assert max(map(len, lines)) > 3_000_000


def test_a_page_comes_instead_of_an_answer(wire: Wire) -> None:
    wire.server.fault("wrong-content-type")
    answer = wire.ask(stream=True)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html"


def test_scraps_make_up_the_right_answer(wire: Wire) -> None:
    good = wire.text(wire.ask(stream=True).content)
    wire.server.fault("fragment")
    assert wire.text(wire.ask(stream=True).content) == good
    assert wire.ask(stream=False).json()


def test_the_prompt_comes_back(wire: Wire) -> None:
    wire.server.fault("echo")
    assert wire.text(wire.ask(stream=True).content) == PROMPT


@pytest.mark.parametrize("fault", ["blank", "thinking-only"])
def test_nothing_comes_back(wire: Wire, fault: str) -> None:
    wire.server.fault(fault)
    data = wire.ask(stream=True).content
    assert wire.text(data).strip() == ""
    assert (b"thinking" in data or b"reasoning" in data) is (fault == "thinking-only")


@pytest.mark.parametrize("fault", ["repetition", "whitespace", "runaway"])
def test_endless_text_ends_at_the_limit(wire: Wire, fault: str) -> None:
    wire.server.fault(fault)
    data = wire.ask(stream=True, **wire.limited(300)).content
    assert b'"length"' in data
    assert wire.server.stats()["journal"][-1]["completion_tokens"] == 300


def test_endless_text_stops_when_the_client_leaves(wire: Wire) -> None:
    wire.server.fault("runaway")
    answer = wire.ask(stream=True)
    next(answer.iter_content(64))
    answer.close()
    stats = wire.server.wait_until(lambda stats: stats["in_flight"]["now"] == 0)
    assert stats["aborted"] == 1


def test_a_load_fails_and_the_next_succeeds(wire: Wire) -> None:
    if wire.server.kind == "openai":  # its models are resident from the start
        return
    wire.server.fault("load-failure", count=1)
    assert wire.ask(stream=True).status_code == 500
    assert wire.ask(stream=True).status_code == 200
    stats = wire.server.stats()
    assert (stats["load_failures"], stats["loads"]) == (1, 1)


def test_a_rule_is_not_spent_where_it_can_do_no_harm(servers: dict[Kind, RunningSimulator]) -> None:
    server = servers["ollama"]
    server.reset()
    server.fault("load-failure", count=1, model="llava:7b")
    server.fault("echo", count=1)
    wire = Wire(server, "/api/generate", "phi3.5:3.8b")
    preload = {"model": wire.model, "stream": False}
    said = requests.post(f"{server.url}/api/generate", json=preload, timeout=DEADLINE_SECONDS)
    assert said.json()["done_reason"] == "load"
    assert wire.text(wire.ask(stream=True).content) == PROMPT

    server.reset()
    wire.ask(stream=False).json()
    server.fault("load-failure", count=1)
    assert wire.ask(stream=False).ok  # it is resident: nothing to load
    assert Wire(server, "/api/generate", "llava:7b").ask(stream=False).status_code == 500


@pytest.mark.parametrize("fault", ["slow-load", "drip"])
def test_slow_answers_are_right(wire: Wire, fault: str) -> None:
    wire.server.fault(fault, seconds=0.01, factor=2)
    data = wire.ask(stream=True, **wire.limited(10)).content
    assert wire.is_terminated(data)
    assert wire.server.stats()["completed"] == 1


def test_a_prompt_is_cut_silently(wire: Wire) -> None:
    wire.ask(stream=False).json()
    wire.server.fault("cut-prompt")
    wire.ask(stream=False).json()
    whole, cut = (entry["prompt_tokens"] for entry in wire.server.stats()["journal"])
    assert cut == max(whole // 2, 1)


def test_a_refusing_server_comes_back_on_its_port(wire: Wire) -> None:
    wire.server.fault("refuse", seconds=SHORT_SECONDS)
    with pytest.raises(requests.ConnectionError):
        wire.ask(stream=True)
    answered = []

    def is_back(_stats: Any) -> bool:
        answered.append(wire.ask(stream=True).status_code)
        return True

    _until_reachable(wire.server)
    wire.server.wait_until(is_back)
    assert answered == [200]


def _until_reachable(server: RunningSimulator) -> None:
    session = requests.Session()
    retry = requests.adapters.Retry(connect=40, backoff_factor=0.02, backoff_max=0.1)
    session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
    with session:
        assert session.get(f"{server.url}/v1/models", timeout=DEADLINE_SECONDS).ok


def test_models_named_after_faults_are_listed_on_demand() -> None:
    with simulator("ollama", fault_models=True) as server:
        listed = requests.get(f"{server.url}/api/tags", timeout=DEADLINE_SECONDS).json()["models"]
        names = {model["name"] for model in listed}
        assert {f"fault-{name}" for name in FAULTS if name != "refuse"} <= names
        wire = Wire(server, "/api/generate", "fault-echo")
        assert wire.text(wire.ask(stream=True).content) == PROMPT
        assert FAULTS.keys() > HARMLESS
