"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One look at one part. ``hung`` names the supervised program that a restart would mend."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    hung: str | None = None
