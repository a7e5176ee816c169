"""A simulated model server for tests: a real process on a free loopback port, gone afterwards."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import requests

from tests.support.model_servers import model_server
from tests.support.polling import pauses

START_DEADLINE_SECONDS = 20.0
STOP_DEADLINE_SECONDS = 10.0
CALL_DEADLINE_SECONDS = 10.0

Kind = Literal["ollama", "mlx", "openai"]


@dataclass(frozen=True, slots=True)
class RunningSimulator:
    """A running simulator. `pid` may be stopped or killed by a test."""

    kind: Kind
    url: str
    pid: int

    def stats(self, *, journal: int = 200) -> dict[str, Any]:
        """What happened since the start or the last reset, with the last `journal` requests."""
        return self._call("GET", f"/_sim/stats?journal={journal}")

    def profile(self) -> dict[str, Any]:
        """{"kind", "time_scale", "profile"}: what the server is made of."""
        return self._call("GET", "/_sim/profile")

    def fault(self, name: str, **measures: Any) -> int:
        """Order a fault (`rate`, `count`, `model`, `match`, ...); its number."""
        return int(self._call("POST", "/_sim/faults", {"fault": name, **measures})["number"])

    def clear_faults(self) -> None:
        """Withdraw every fault; what already hangs goes on hanging."""
        self._call("DELETE", "/_sim/faults")

    def reset(self) -> None:
        """No faults, no idle model resident, counters at zero."""
        self._call("POST", "/_sim/reset")

    def wait_until(
        self, holds: Callable[[dict[str, Any]], bool], *, deadline_seconds: float = 60.0
    ) -> dict[str, Any]:
        """The first stats for which `holds` is true; AssertionError after the deadline."""
        end = time.monotonic() + deadline_seconds
        for pause in pauses():
            stats = self.stats()
            if holds(stats):
                break
            assert time.monotonic() < end, f"never so within {deadline_seconds} s: {stats}"
            time.sleep(pause)
        return stats

    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        # A connection of its own: a pooled one would be cut by faults and counted by tests.
        answer = requests.request(
            method,
            self.url + path,
            json=body,
            timeout=CALL_DEADLINE_SECONDS,
            headers={"Connection": "close"},
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        said: dict[str, Any] = answer.json()
        return said


@contextmanager
def simulator(
    kind: Kind = "ollama",
    *,
    profile: str | Path | Mapping[str, Any] | None = None,
    time_scale: float = 100.0,
    seed: int = 0,
    port: int = 0,
    fault_models: bool = False,
    directory: Path | None = None,
) -> Iterator[RunningSimulator]:
    """Start a simulator and end it by its process id.

    `profile` is a built-in name, a file, or the JSON object itself (then `directory`, such as
    pytest's `tmp_path`, takes the file). The process also ends if this one dies.
    """
    arguments = ["--kind", kind, "--port", str(port)]
    arguments += ["--time-scale", str(time_scale), "--seed", str(seed)]
    if profile is not None:
        arguments += ["--profile", _profile_argument(profile, directory)]
    if fault_models:
        arguments.append("--fault-models")
    with model_server(
        "llm.simulator",
        *arguments,
        start_seconds=START_DEADLINE_SECONDS,
        stop_seconds=STOP_DEADLINE_SECONDS,
    ) as (url, process):
        yield RunningSimulator(kind, url, process.pid)


def _profile_argument(profile: str | Path | Mapping[str, Any], directory: Path | None) -> str:
    if not isinstance(profile, Mapping):
        return str(profile)
    assert directory is not None, "a profile given as an object needs a directory for its file"
    path = directory / f"profile-{time.monotonic_ns()}.json"
    path.write_text(json.dumps(profile), encoding="utf-8")
    return str(path)
