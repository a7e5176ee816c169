"""The model servers: does each answer, and with which models."""

from __future__ import annotations

from collections.abc import Iterator

from console.operations.doctor.check import Check, Level, ok, red, warning
from jobs.runtime import model_servers
from jobs.settings.load import Settings
from llm.kinds import traits_of
from llm.types import BackendSpec, ServerScan

MODELS_SHOWN = 5


def server_checks(settings: Settings) -> Iterator[Check]:
    """A server that is away is red only where none answers: one is enough to work."""
    if not settings.backends:
        remedy = "set OLLAMA_API_URL or MLX_API_URL, or use `kos up --demo`"
        yield red("model servers", "none is configured", remedy)
        return
    servers, scanner = model_servers(settings, None)
    try:
        scan = scanner.scan(refresh=True)
    finally:
        servers.close()
    some_answer = any(server.models for server in scan.servers)
    for spec in settings.backends:
        yield _server(spec, scan.server(spec.name), some_answer=some_answer)


def silent_servers(settings: Settings) -> list[str]:
    """A line for each model server that does not answer, and one more if none answers."""
    checks = list(server_checks(settings))
    lines = [
        f"{check.name}: {check.detail}; {check.remedy}"
        for check in checks
        if check.level is not Level.OK
    ]
    if len(lines) == len(checks):
        lines.append(
            "tasks wait until a model server answers: `kos models add smollm2`, then `kos up`, "
            "serves a small model of ours; `kos up --demo` simulates servers"
        )
    return lines


def _server(spec: BackendSpec, server: ServerScan | None, *, some_answer: bool) -> Check:
    name = f"model server {spec.name}"
    trouble = warning if some_answer else red
    if server is None or server.models is None:
        error = server.error if server and server.error else "not asked"
        return trouble(name, f"{spec.url}: {error}", traits_of(spec.kind).start)
    usable = [model.name for model in server.usable]
    if not usable:
        return trouble(
            name, f"{spec.url} answers, but has no usable model", traits_of(spec.kind).fill
        )
    names = ", ".join(usable[:MODELS_SHOWN]) + (", ..." if len(usable) > MODELS_SHOWN else "")
    return ok(name, f"{spec.url}: {len(usable)} models ({names})")
