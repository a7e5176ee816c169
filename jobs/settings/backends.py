"""The configured model servers: Ollama and MLX by their URLs, others from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jobs.settings.names import name_in_message
from llm.backends.file import BackendsFileError
from llm.backends.file import load as load_file
from llm.types import BackendKind, BackendSpec
from llm.urls import DISABLED_WORDS, UrlError, mlx_url, normalise, ollama_url


def configured_backends(
    variables: Mapping[str, str],
    *,
    in_container: bool,
    limits: Mapping[str, int],
    mlx_resident: int,
    file: Path | None,
) -> tuple[tuple[BackendSpec, ...], list[str]]:
    """(backends, problems). A name in ``file`` replaces the built-in backend of that name.
    ``limits`` holds ``max_concurrent`` of the built-in ones."""
    urls: dict[str, str | None] = {
        "ollama": ollama_url(variables, in_container=in_container),
        "mlx": mlx_url(variables, in_container=in_container),
    }
    found: dict[str, BackendSpec] = {}
    problems: list[str] = []
    for name, url in urls.items():
        if url is None or url.lower() in DISABLED_WORDS:
            continue
        try:
            address = normalise(url)
        except UrlError as error:
            problems.append(f"{_variable(name, variables)}: {error}")
            continue
        found[name] = BackendSpec(
            name=name,
            kind=BackendKind(name),
            url=address.url,
            basic_auth=address.basic_auth,
            max_concurrent=limits[name],
            max_resident_models=mlx_resident if name == "mlx" else None,
        )
    if file is not None:
        try:
            found |= {spec.name: spec for spec in load_file(file)}
        except BackendsFileError as error:
            problems.append(f"KOS_BACKENDS_FILE: {error}")
    if not found and not problems:
        problems.append("no model server is configured; set OLLAMA_API_URL or MLX_API_URL")
    return tuple(found.values()), problems


def _variable(name: str, variables: Mapping[str, str]) -> str:
    if name == "mlx":
        return "MLX_API_URL"
    return (
        "OLLAMA_API_URL"
        if variables.get("OLLAMA_API_URL", "").strip()
        else name_in_message("OLLAMA_BASE_URL")
    )
