"""What the ledger taught about every model, kept by a process and refreshed now and then."""

from __future__ import annotations

from dataclasses import dataclass

from llm.types import Scan, ScannedModel
from models import attempt
from models.base import Row


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one model at one backend. ``learned_*`` are None until the ledger holds enough."""

    load_seconds: float = 10.0
    service_seconds: float = 10.0
    learned_load_seconds: float | None = None
    learned_first_token_seconds: float | None = None
    learned_tokens_per_second: float | None = None
    size_bytes: int | None = None


class Learning:
    """Read by planner and worker; ``refresh`` replaces everything at once."""

    def __init__(self) -> None:
        self._figures: dict[tuple[str, str], Figures] = {}

    def figures(self, backend: str, model: str) -> Figures:
        return self._figures.get((backend, model), Figures())

    def of(self, backend: str, model: ScannedModel) -> Figures:
        return self.figures(backend, model.name)

    def refresh(self, scan: Scan) -> None:
        """Read the newest attempts; needs an open session."""
        self._figures = _learn(attempt.samples(), scan)


def _learn(samples: list[Row], scan: Scan) -> dict[tuple[str, str], Figures]:
    return {}
