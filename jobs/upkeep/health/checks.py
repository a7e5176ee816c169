"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.settings.load import Settings

MLX_PROGRAM = "servers:mlx-api"
RESTARTED = "it is restarted by itself; if it is red for three minutes, restart it and read its log"
SILENT = "does not answer"
"""Begins the detail of an unreachable server."""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """The result of checking one part. ``hung`` names the supervised program that should be
    restarted."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    hung: str | None = None


def supervised_servers(settings: Settings) -> dict[str, str]:
    """Backend -> the supervised program that serves it; only for servers that we run."""
    found = {"mlx": MLX_PROGRAM} if settings.run_mlx_server else {}
    return found | {name: f"servers:simulator-{name}" for name in settings.simulated}
