"""What serves each backend: a server that answers, our own MLX API server, or a simulator."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from enum import StrEnum
from urllib.parse import urlsplit

import requests

from console.home import free_port
from console.supervision.programs import LOOPBACK
from jobs.settings.load import Settings
from jobs.settings.sources import LEFT_OUT, OWN_MLX, SIMULATED
from llm import direct
from llm.mlx_server import settings as mlx_settings
from llm.types import BackendSpec

ANSWER_WITHIN_SECONDS = 1.0
PROBES = {"ollama": "/api/version", "mlx": "/health"}
SWITCH = "KOS_MLX_SERVER"

PORT = 11435

Pairs = dict[str, str]


class Absent(StrEnum):
    """What happens to a backend that nothing serves."""

    WAIT = "wait"
    SIMULATE = "simulate"
    LEAVE_OUT = "leave out"


def choose_servers(
    settings: Settings, *, absent: Absent, earlier: Mapping[str, str], running: bool
) -> tuple[Pairs, tuple[str, ...]]:
    """(pairs for the env file, one line a backend that says plainly what serves it).

    ``settings`` name the real servers; ``earlier`` are the pairs of the last ``up``, whose ports
    are kept. Our MLX API server is taken where it has a model, unless ``KOS_MLX_SERVER`` is set.
    """
    chosen: Pairs = {}
    lines = []
    ours = running and bool(earlier.get(OWN_MLX))
    for name, (_, key) in SIMULATED.items():
        real = settings.backend(name)
        if real is None:
            continue
        if not (name == "mlx" and ours) and _answers(real):
            lines.append(f"{name}: the real server at {real.url}")
        elif name == "mlx" and absent is not Absent.SIMULATE and serves_mlx(settings):
            chosen[OWN_MLX] = _own_url(real, earlier)
            lines.append(f"{name}: our MLX API server at {chosen[OWN_MLX]}")
        elif absent is Absent.SIMULATE:
            chosen[key] = earlier.get(key, LEFT_OUT)
            if chosen[key] == LEFT_OUT:
                chosen[key] = f"http://127.0.0.1:{free_port()}"
            lines.append(f"{name}: SIMULATED at {chosen[key]} (nothing answers at {real.url})")
        elif absent is Absent.LEAVE_OUT:
            chosen[key] = LEFT_OUT
            lines.append(f"{name}: left out (nothing answers at {real.url})")
    return chosen, tuple(lines)


def some_server_answers(settings: Settings) -> bool:
    """Whether the person runs a model server of their own."""
    specs = (settings.backend(name) for name in PROBES)
    return any(_answers(spec) for spec in specs if spec is not None)


def serves_mlx(settings: Settings) -> bool:
    """Whether our MLX API server may run and would have a model to serve."""
    backend = settings.backend("mlx")
    if backend is None or ("MLX_API_URL" in settings.environ and not _is_here(backend)):
        return False
    if SWITCH in settings.environ:
        return settings.run_mlx_server
    return importlib.util.find_spec("mlx_lm") is not None and _has_models(settings)


def _own_url(backend: BackendSpec, earlier: Mapping[str, str]) -> str:
    """Its URL as configured; where that is a container's host by default, one on loopback."""
    if _is_here(backend):
        return backend.url
    return earlier.get(OWN_MLX) or f"http://127.0.0.1:{free_port(PORT)}"


def _is_here(backend: BackendSpec) -> bool:
    return urlsplit(backend.url).hostname in LOOPBACK


def _has_models(settings: Settings) -> bool:
    try:
        root = mlx_settings.ServerSettings.from_environment(
            settings.environ
        ).models_dir.expanduser()
    except mlx_settings.ServerSettingsError:
        return False
    found = (*root.glob("[!.]*/config.json"), *root.glob("[!.]*/*/config.json"))
    return bool(found)


def _answers(backend: BackendSpec) -> bool:
    try:
        answer = direct.get(backend.url + PROBES[backend.name], seconds=ANSWER_WITHIN_SECONDS)
    except requests.RequestException:
        return False
    return answer.status_code < 500
