"""What to expect of a model nobody has run yet, by its size and its server's kind.

Anchored on measurements on a Mac Studio: cold starts of 0.3-5.8 s for 1-4 B parameters on MLX and
1.5-43 s for 14-32 B on Ollama; warm answers of 0.1-4 s and of 24-123 s. They only have to be of
the right order: a few real attempts outweigh them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llm.kinds import traits_of
from llm.types import BackendKind

UNKNOWN_PARAMETERS = 14_000_000_000
ANSWER_TOKENS = 300

_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)\s*([bm])(?![a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Prior:
    """Expected seconds and rate of one model at one kind of server."""

    load_seconds: float
    first_token_seconds: float
    tokens_per_second: float
    service_seconds: float


def prior_for(kind: BackendKind, model: str, parameters: int | None = None) -> Prior:
    """The prior of ``model``; its size is read from the name where ``parameters`` is unknown."""
    billions = (parameters or parameters_in(model) or UNKNOWN_PARAMETERS) / 1e9
    traits = traits_of(kind)
    load = traits.load_seconds + traits.load_seconds_per_billion * billions
    rate = min(traits.rate_cap, traits.rate_billions / billions)
    first_token = 0.2 + 0.06 * billions
    return Prior(load, first_token, rate, first_token + ANSWER_TOKENS / rate)


def parameters_in(model: str) -> int | None:
    """The number of parameters that a model's name tells (``qwq:32b``, ``mixtral-8x7b``)."""
    found = [
        int(float(size) * int(experts or 1) * (1e9 if unit.lower() == "b" else 1e6))
        for experts, size, unit in _SIZE.findall(model)
    ]
    return max(found, default=None)
