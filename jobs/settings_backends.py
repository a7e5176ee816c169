"""The model servers of a deployment: Ollama and MLX by their URLs, further ones from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from llm.types import BackendKind, BackendSpec


def configured_backends(
    variables: Mapping[str, str],
    *,
    in_container: bool,
    ollama_max: int,
    mlx_max: int,
    file: Path | None,
) -> tuple[tuple[BackendSpec, ...], list[str]]:
    """(backends, problems). A name in the file replaces the built-in backend of that name."""
    host = "host.docker.internal" if in_container else "localhost"
    ollama = variables.get("OLLAMA_API_URL") or variables.get("OLLAMA_BASE_URL")
    mlx = variables.get("MLX_API_URL")
    found: list[BackendSpec] = []
    if (ollama or "").lower() not in {"disabled", "none", "off"}:
        found.append(
            BackendSpec(
                name="ollama",
                kind=BackendKind.OLLAMA,
                url=(ollama or f"http://{host}:11434").rstrip("/"),
                max_concurrent=ollama_max,
            )
        )
    if (mlx or "").lower() not in {"disabled", "none", "off"}:
        port = variables.get("MLX_API_PORT", "11435")
        found.append(
            BackendSpec(
                name="mlx",
                kind=BackendKind.MLX,
                url=(mlx or f"http://{host}:{port}").rstrip("/"),
                max_concurrent=mlx_max,
            )
        )
    return tuple(found), []
