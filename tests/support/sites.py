"""Machines as people have them (``sites.toml``): model lists, and how fast each model is there."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm.catalog import classify, load_catalog, parameters_in_name
from llm.types import BackendKind, Category, ModelInfo, ScannedModel

GB = 10**9
REFERENCE_BILLIONS = 8.0
UNKNOWN_BILLIONS = 0.3
"""Of a name that says nothing: the embedding models of these lists."""
BYTES_PER_PARAMETER = 0.6
"""Of a 4-bit file."""
START_SECONDS = 1.0
"""A server process begins, whatever it loads."""


@dataclass(frozen=True, slots=True)
class Site:
    """One model server. Rates are tokens per second of one stream of an 8B model in 4 bits."""

    name: str
    source: str
    kind: BackendKind
    slots: int
    limit: int
    residents: int
    sharing: float
    prefill: float
    decode: float
    load: float
    models: tuple[str, ...]
    choose: Mapping[Category, str]
    house: str
    memory: int | None = None
    resident: bool = False
    active: Mapping[str, float] = field(default_factory=dict)

    @property
    def scanned(self) -> list[ScannedModel]:
        """Its models as a scan classes them."""
        catalog = load_catalog()
        memory_bytes = None if self.memory is None else self.memory * GB
        return [
            classify(
                ModelInfo(name, size_bytes=size_bytes(name)),
                catalog=catalog,
                memory_bytes=memory_bytes,
            )
            for name in self.models
        ]

    def load_seconds(self, model: str) -> float:
        if self.resident:
            return 0.0
        return START_SECONDS + (size_bytes(model) or 0) / (self.load * GB)

    def prefill_rate(self, model: str) -> float:
        """Prompt tokens per second."""
        return self.prefill * REFERENCE_BILLIONS / self._billions(model)

    def decode_rate(self, model: str, *, streams: int = 1) -> float:
        """Answer tokens per second of each of so many streams."""
        alone = self.decode * REFERENCE_BILLIONS / self._billions(model)
        return float(alone / streams**self.sharing)

    def _billions(self, model: str) -> float:
        return self.active.get(model) or (parameters_in_name(model) or 0) / 1e9 or UNKNOWN_BILLIONS


def size_bytes(model: str) -> int | None:
    parameters = parameters_in_name(model)
    return None if parameters is None else int(parameters * BYTES_PER_PARAMETER)


def read_sites() -> dict[str, Site]:
    """By name."""
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    found = [_site(dict(row)) for row in tomllib.loads(text)["site"]]
    return {site.name: site for site in found}


def _site(row: dict[str, Any]) -> Site:
    chosen = {Category(name): model for name, model in row.pop("choose").items()}
    return Site(
        kind=BackendKind(row.pop("kind")),
        models=tuple(row.pop("models")),
        choose=chosen,
        house=row.pop("house", row["name"]),
        **row,
    )
