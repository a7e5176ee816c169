"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.settings.load import Settings

MLX_PROGRAM = "servers:mlx-api"
SILENT = "does not answer"
"""How the detail of a server that cannot be reached begins."""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One look at one part. ``hung`` names the supervised program that a restart would mend."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    hung: str | None = None


def supervised_servers(settings: Settings) -> dict[str, str]:
    """By backend, the program of ours that serves it; without the servers of others."""
    found = {"mlx": MLX_PROGRAM} if settings.run_mlx_server else {}
    return found | {name: f"servers:simulator-{name}" for name in settings.simulated}
