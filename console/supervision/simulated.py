"""Which model servers a demo has to simulate: those that do not answer at their URLs."""

from __future__ import annotations

from collections.abc import Mapping

import requests

from console.home import free_port
from jobs.settings.load import Settings
from jobs.settings.sources import SIMULATED
from llm import direct
from llm.types import BackendSpec

ANSWER_WITHIN_SECONDS = 1.0
PROBES = {"ollama": "/api/version", "mlx": "/health"}


def choose_simulated(
    settings: Settings, *, earlier: Mapping[str, str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """(pairs for the env file, one line a backend that says plainly what serves it).

    ``settings`` name the real servers; ``earlier`` are the pairs of the last demo, whose ports
    are kept.
    """
    chosen = {}
    lines = []
    for name, (_, key) in SIMULATED.items():
        real = settings.backend(name)
        if real is None:
            continue
        if _answers(real):
            lines.append(f"{name}: the real server at {real.url}")
            continue
        chosen[key] = earlier.get(key) or f"http://127.0.0.1:{free_port()}"
        lines.append(f"{name}: SIMULATED at {chosen[key]} (nothing answers at {real.url})")
    return chosen, tuple(lines)


def _answers(backend: BackendSpec) -> bool:
    try:
        answer = direct.get(backend.url + PROBES[backend.name], seconds=ANSWER_WITHIN_SECONDS)
    except requests.RequestException:
        return False
    return answer.status_code < 500
