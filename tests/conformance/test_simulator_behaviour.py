"""The simulator as a process: residency, limits, connections, control and the command line."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.programs import ROOT
from tests.support.simulators import RunningSimulator, simulator

DEADLINE_SECONDS = 20.0
PROMPT = "Explain how database indexes speed up queries"


def ask(server: RunningSimulator, model: str, **fields: Any) -> requests.Response:
    body = {"model": model, "prompt": PROMPT, "stream": False, **fields}
    return requests.post(f"{server.url}/api/generate", json=body, timeout=DEADLINE_SECONDS)


def profile(**fields: Any) -> dict[str, Any]:
    names = fields.pop("names", ("a", "b", "c"))
    model = {"load_seconds": 0.02, "decode_tokens_per_second": 2000}
    return {"models": [{"name": name, **model} for name in names], **fields}


def test_alternating_models_thrash_and_the_counters_say_so(tmp_path: Path) -> None:
    limits = profile(max_resident_models=1, strict_order=True)
    with simulator("ollama", profile=limits, directory=tmp_path, time_scale=1) as server:
        for name in "abab":
            assert ask(server, name).ok
        stats = server.stats()
        assert (stats["loads"], stats["evictions"]) == (4, 3)
        assert {name: stats["models"][name]["loads"] for name in "ab"} == {"a": 2, "b": 2}
        assert stats["resident"] == ["b"]
        assert stats["busy_seconds"]["load"] >= 0.08
        total = sum(stats["busy_seconds"].values())
        assert total == pytest.approx(stats["uptime_seconds"], abs=0.01)


def test_another_context_reloads_the_model_on_ollama_alone() -> None:
    for kind, loads in (("ollama", 2), ("mlx", 1)):
        with simulator(kind) as server:  # type: ignore[arg-type]
            for context in (4096, 8192, 8192):
                assert ask(server, "phi3.5:3.8b", options={"num_ctx": context}).ok
            assert server.stats()["loads"] == loads
            resident = requests.get(f"{server.url}/api/ps", timeout=DEADLINE_SECONDS).json()
            wanted = 8192 if kind == "ollama" else 131_072
            assert resident["models"][0]["context_length"] == wanted


@pytest.mark.parametrize(
    ("cache", "reported"), [("slots", True), ("shared", True), ("slots", False)]
)
def test_a_beginning_that_was_read_is_not_read_again(
    tmp_path: Path, cache: str, reported: bool
) -> None:
    limits = profile(names=["a"], prefix_cache=cache, reports_cached_tokens=reported)
    persona = "You are an engineer who answers in whole sentences. " * 40
    with simulator("mlx", profile=limits, directory=tmp_path, time_scale=1) as server:
        answers = [ask(server, "a", system=persona, prompt=f"Task {n}").json() for n in range(2)]
        journal = server.stats()["journal"]
    assert [entry["cached_tokens"] > 400 for entry in journal] == [False, True]
    assert answers[1].get("prompt_cached_count") == (
        journal[1]["cached_tokens"] if reported else None
    )


def test_slots_are_never_exceeded_by_two_hundred_streams(tmp_path: Path) -> None:
    limits = profile(names=["a"], slots=7, queue_limit=0)
    with (
        simulator("ollama", profile=limits, directory=tmp_path, time_scale=1) as server,
        ThreadPoolExecutor(50) as pool,
    ):
        statuses = list(pool.map(lambda _: ask(server, "a").status_code, range(200)))
        stats = server.stats()
        assert statuses == [200] * 200
        assert stats["streams"] == {"now": 0, "max": 7}
        assert stats["in_flight"]["max"] > 7
        assert stats["completed"] == 200


def test_a_full_queue_is_503_with_a_time_to_wait(tmp_path: Path) -> None:
    limits = profile(names=["a"], slots=1, queue_limit=1, retry_after_seconds=5)
    with (
        simulator("mlx", profile=limits, directory=tmp_path) as server,
        ThreadPoolExecutor(2) as pool,
    ):
        server.fault("drip", seconds=0.02, count=1)
        first = pool.submit(ask, server, "a", options={"num_predict": 20})
        server.wait_until(lambda stats: stats["streams"]["now"] == 1)
        second = pool.submit(ask, server, "a")
        server.wait_until(lambda stats: stats["waiting"] == 1)
        health = requests.get(f"{server.url}/health", timeout=DEADLINE_SECONDS).json()
        assert (health["active_requests"], health["queue_size"]) == (1, 1)

        refused = ask(server, "a")

        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "5"
        assert first.result().ok
        assert second.result().ok


def test_those_who_wait_and_leave_are_forgotten(tmp_path: Path) -> None:
    limits = profile(names=["a"], slots=1)
    with simulator("ollama", profile=limits, directory=tmp_path) as server:
        server.fault("hang-after", count=1)
        body = {"model": "a", "prompt": PROMPT}
        url = f"{server.url}/api/generate"
        with requests.post(url, json=body, timeout=DEADLINE_SECONDS, stream=True):
            for _ in range(2):
                with pytest.raises(requests.Timeout):
                    requests.post(url, json=body, timeout=0.2)
            stats = server.wait_until(lambda stats: stats["in_flight"]["now"] == 1)
            assert (stats["aborted"], stats["waiting"]) == (2, 0)
        assert ask(server, "a").ok
        assert server.stats()["aborted"] == 3


def test_requests_beyond_the_minute_s_bound_are_429(tmp_path: Path) -> None:
    limits = profile(names=["a"], requests_per_minute=2)
    with simulator("ollama", profile=limits, directory=tmp_path, time_scale=1) as server:
        answers = [ask(server, "a") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert 50 <= int(answers[2].headers["Retry-After"]) <= 60
        server.reset()
        assert ask(server, "a").ok


def test_a_key_is_asked_for_where_the_profile_has_one(tmp_path: Path) -> None:
    limits = profile(names=["a"], api_key="secret", resident_at_start=True)
    with simulator("openai", profile=limits, directory=tmp_path) as server:
        url = f"{server.url}/v1/models"
        wrong = {"Authorization": "Bearer wrong"}
        right = {"Authorization": "Bearer secret"}
        assert requests.get(url, timeout=DEADLINE_SECONDS).status_code == 401
        assert requests.get(url, headers=wrong, timeout=DEADLINE_SECONDS).status_code == 401
        assert requests.get(url, headers=right, timeout=DEADLINE_SECONDS).ok
        assert requests.get(f"{server.url}/health", timeout=DEADLINE_SECONDS).ok


def test_vllm_s_gauges_show_running_and_waiting(tmp_path: Path) -> None:
    limits = profile(names=["a"], slots=1, resident_at_start=True)
    with (
        simulator("openai", profile=limits, directory=tmp_path) as server,
        ThreadPoolExecutor(2) as pool,
    ):
        server.fault("drip", seconds=0.02, count=1)
        body = {"model": "a", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 10}
        url = f"{server.url}/v1/chat/completions"
        asked = [
            pool.submit(requests.post, url, json=body, timeout=DEADLINE_SECONDS) for _ in range(2)
        ]
        server.wait_until(lambda stats: stats["waiting"] == 1)
        text = requests.get(f"{server.url}/metrics", timeout=DEADLINE_SECONDS).text
        assert 'vllm:num_requests_running{model_name="a"} 1.0' in text
        assert 'vllm:num_requests_waiting{model_name="a"} 1.0' in text
        assert all(future.result().ok for future in asked)


def test_two_hundred_clients_connect_at_once() -> None:
    with simulator("ollama", profile="instant") as server:
        address = ("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
        clients = [socket.create_connection(address, timeout=DEADLINE_SECONDS) for _ in range(200)]
        for client in clients:
            client.sendall(b"GET /api/version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        for client in clients:
            with client, client.makefile("rb") as answer:
                assert answer.readline() == b"HTTP/1.1 200 OK\r\n"


def test_requests_in_one_packet_are_answered_in_order() -> None:
    with simulator("ollama", profile="instant") as server:
        address = ("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
        with socket.create_connection(address, timeout=DEADLINE_SECONDS) as client:
            request = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"
            closing = b"GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            client.sendall(request % b"/" + request % b"/api/version" + closing)
            with client.makefile("rb") as answer:
                data = answer.read()
        assert data.index(b"Ollama is running") < data.index(b"version") < data.index(b"404 ")


def test_a_hostile_request_closes_its_own_connection_only() -> None:
    with simulator("ollama", profile="instant") as server:
        address = ("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
        with socket.create_connection(address, timeout=DEADLINE_SECONDS) as client:
            client.sendall(b"\x16\x03\x01\x02\x00\x01\r\n\r\n")
            with client.makefile("rb") as answer:
                assert answer.read().startswith(b"HTTP/1.1 400 ")
        assert ask(server, "phi3.5:3.8b").ok


def test_a_reset_starts_over() -> None:
    with simulator("ollama") as server:
        server.fault("echo")
        assert ask(server, "phi3.5:3.8b").ok
        server.reset()
        stats = server.stats()
        assert (stats["requests"], stats["loads"], stats["resident"], stats["journal"]) == (
            0,
            0,
            [],
            [],
        )
        assert ask(server, "phi3.5:3.8b").json()["response"].startswith("[simulated")


def test_it_tells_what_it_is_made_of(tmp_path: Path) -> None:
    limits = profile(names=["a"], slots=3, api_key="secret")
    with simulator("mlx", profile=limits, directory=tmp_path, time_scale=7) as server:
        told = server.profile()
    assert (told["kind"], told["time_scale"], told["profile"]["slots"]) == ("mlx", 7, 3)
    assert told["profile"]["models"][0]["load_seconds"] == 0.02
    assert "secret" not in json.dumps(told)


def test_a_wrong_control_request_is_explained() -> None:
    with simulator("ollama") as server:
        url = f"{server.url}/_sim/faults"
        wrong = requests.post(url, json={"fault": "ehco"}, timeout=DEADLINE_SECONDS)
        assert wrong.status_code == 400
        assert "did you mean 'echo'" in wrong.json()["error"]
        assert requests.delete(f"{url}?number=9", timeout=DEADLINE_SECONDS).status_code == 404


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--profile", "no-such"], 2, "no profile 'no-such'"),
        (["--time-scale", "0"], 2, "--time-scale must be a number above 0"),
        (["--time-scale", "nan"], 2, "--time-scale must be a number above 0"),
    ],
)
def test_wrong_arguments_end_in_one_line(arguments: list[str], code: int, message: str) -> None:
    command = [sys.executable, "-m", "llm.simulator", "--kind", "ollama", "--port", "0", *arguments]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )
    assert ended.returncode == code
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_taken_port_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "llm.simulator", "--kind", "mlx"]
        command += ["--port", str(taken.getsockname()[1])]
        ended = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
        )
    assert ended.returncode == 4
    assert "cannot listen" in ended.stderr


def test_it_ends_with_a_stream_running_when_asked_to() -> None:
    with simulator("ollama") as server:
        server.fault("hang-after")
        failed = threading.Event()

        def listen() -> None:
            try:
                ask(server, "phi3.5:3.8b", stream=True)
            except requests.RequestException:
                failed.set()

        client = threading.Thread(target=listen)
        client.start()
        server.wait_until(lambda stats: stats["streams"]["now"] == 1)
        os.kill(server.pid, signal.SIGTERM)
        assert failed.wait(DEADLINE_SECONDS)
        client.join()


def test_it_ends_when_its_starter_is_killed() -> None:
    program = (
        "import json, os, signal\n"
        "from tests.support.simulators import simulator\n"
        "with simulator('ollama') as server:\n"
        "    print(json.dumps(server.url), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with starter:
        assert starter.stdout is not None
        url = json.loads(starter.stdout.readline())
        starter.wait(DEADLINE_SECONDS)
    end = time.monotonic() + DEADLINE_SECONDS
    while _answers(url):
        assert time.monotonic() < end
        time.sleep(0.02)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=DEADLINE_SECONDS).ok
    except requests.ConnectionError:
        return False
