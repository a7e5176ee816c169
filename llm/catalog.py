"""Which model for which work: the priority table, and how to classify models that it does not
list."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from llm.types import Category, ModelInfo, ScannedModel

_SIZE_IN_NAME = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z0-9])")
_SPECIALIST = "cod"
_UNLISTED = 10_000

Ranking = dict[Category, tuple[str, ...]]


class CatalogError(ValueError):
    """The priority table cannot be used; the message names the key."""


MEMORY_FOR_WEIGHTS = 0.9
"""The share of a server's memory that a model file may fill."""
_DOES_NOT_FIT = 1000.0
_BLIND = 100.0


@dataclass(frozen=True, slots=True)
class StrengthRule:
    """How a model's strength follows from size, family and category. ``catalog.toml``
    explains it."""

    places_per_doubling: float
    outside_doublings: float
    enough_parameters: float
    unknown_parameters: float
    bytes_per_parameter: float


@dataclass(frozen=True, slots=True)
class Catalog:
    """The priority table. ``priority`` holds parts of model names per category, best first."""

    priority: Mapping[Category, tuple[str, ...]]
    strength: StrengthRule
    heavy_parameters: int
    heavy_bytes: int
    fast_parameters: int
    fast_bytes: int
    unusable: tuple[str, ...]


def load_catalog(override: str | Path | None = None) -> Catalog:
    """The built-in table. Keys of the TOML file ``override`` replace its own."""
    builtin = resources.files("llm").joinpath("catalog.toml").read_text(encoding="utf-8")
    catalog = _merged(None, tomllib.loads(builtin))
    if override is None:
        return catalog
    try:
        text = Path(override).read_text(encoding="utf-8")
        return _merged(catalog, tomllib.loads(text))
    except OSError as exc:
        raise CatalogError(f"{override}: cannot be read: {exc.strerror}") from exc
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise CatalogError(f"{override}: is not valid TOML: {exc}") from exc
    except CatalogError as exc:
        raise CatalogError(f"{override}: {exc}") from exc


def classify(
    info: ModelInfo,
    *,
    catalog: Catalog,
    chosen: Mapping[str, tuple[str, ...]] | None = None,
    broken: str | None = None,
    memory_bytes: int | None = None,
) -> ScannedModel:
    """Categories, weight and strengths of one model.

    ``chosen``: model names by category that the user listed. ``memory_bytes``: the server's memory
    for models, None where unknown.
    """
    unusable = _unusable(info, catalog)
    if unusable is not None:
        return ScannedModel(
            info=info, categories=(), heavy=is_heavy(info, catalog), broken=unusable
        )
    categories = tuple(
        category
        for category in Category
        if info.name in (chosen or {}).get(category.value, ()) or _belongs(info, category, catalog)
    )
    return ScannedModel(
        info=info,
        categories=categories,
        heavy=is_heavy(info, catalog),
        broken=broken,
        strengths={
            category: round(_strength(info, category, category in categories, catalog), 3)
            - (0.0 if _fits(info, memory_bytes) else _DOES_NOT_FIT)
            for category in Category
        },
    )


def rank(
    models: Iterable[ScannedModel], *, chosen: Mapping[str, tuple[str, ...]] | None = None
) -> Ranking:
    """The usable model names of a server for each category, best first: the user's choice, then by
    strength."""
    usable = [model for model in models if model.broken is None]

    def order(model: ScannedModel, category: Category) -> tuple[int, float, str]:
        listed = (chosen or {}).get(category.value, ())
        first = listed.index(model.name) if model.name in listed else _UNLISTED
        return first, -model.strengths.get(category, 0.0), model.name

    return {
        category: tuple(
            model.name for model in sorted(usable, key=lambda model: order(model, category))
        )
        for category in Category
    }


def is_heavy(info: ModelInfo, catalog: Catalog) -> bool:
    """Decided by parameter count or file size; by the size in the name only where both are
    unknown."""
    parameters = info.parameters
    if parameters is None and info.size_bytes is None:
        parameters = parameters_in_name(info.name)
    return (parameters or 0) >= catalog.heavy_parameters or (
        info.size_bytes or 0
    ) >= catalog.heavy_bytes


def parameters_in_name(name: str) -> int | None:
    """32e9 for "qwen3:32b", 56e9 for "mixtral:8x7b", None for a name without a size."""
    match = _SIZE_IN_NAME.search(name.lower())
    if match is None:
        return None
    scale = 1e9 if match.group(3) == "b" else 1e6
    return int(float(match.group(2)) * int(match.group(1) or 1) * scale) or None


def _strength(info: ModelInfo, category: Category, belongs: bool, catalog: Catalog) -> float:
    """Size in doublings, minus the penalties for family and for a category that is not the model's
    own."""
    rule = catalog.strength
    billions = max(_size_of(info, rule) / 1e9, 0.01)
    entries = len(catalog.priority[category])
    place = min(_place(info.name, category, catalog), entries)
    if category is Category.FAST:
        return -place / rule.places_per_doubling - billions / 100 - (0.0 if belongs else _BLIND)
    enough = rule.enough_parameters / 1e9
    if category in (Category.DEFAULT, Category.VISION):
        # Of two models that are large enough, the smaller answers sooner.
        size = math.log2(min(billions, enough)) - max(0.0, billions - enough) / 1000
    else:
        size = math.log2(billions)
    if belongs:
        return size - place / rule.places_per_doubling
    general = min(_place(info.name, Category.DEFAULT, catalog), _UNLISTED) / _UNLISTED
    return size - general - (_BLIND if category is Category.VISION else rule.outside_doublings)


def _fits(info: ModelInfo, memory_bytes: int | None) -> bool:
    if memory_bytes is None or info.size_bytes is None:
        return True
    return info.size_bytes <= memory_bytes * MEMORY_FOR_WEIGHTS


def _size_of(info: ModelInfo, rule: StrengthRule) -> float:
    known = _parameters(info)
    if known:
        return known
    if info.size_bytes:
        return info.size_bytes / rule.bytes_per_parameter
    return rule.unknown_parameters


def _belongs(info: ModelInfo, category: Category, catalog: Catalog) -> bool:
    if category is Category.DEFAULT:
        return True
    if category is Category.VISION:
        if info.capabilities:
            return "vision" in info.capabilities
        return _place(info.name, category, catalog) < _UNLISTED
    if category is Category.FAST:
        return _is_fast(info, catalog)
    if _place(info.name, category, catalog) < _UNLISTED:
        return True
    return category is Category.REASONING and "thinking" in info.capabilities


def _is_fast(info: ModelInfo, catalog: Catalog) -> bool:
    parameters = _parameters(info)
    if parameters is not None:
        return parameters <= catalog.fast_parameters
    if info.size_bytes is not None:
        return info.size_bytes <= catalog.fast_bytes
    return _place(info.name, Category.FAST, catalog) < _UNLISTED


def _place(name: str, category: Category, catalog: Catalog) -> int:
    """The index of the first table entry that occurs in the name."""
    lowered = name.lower()
    specialist = _holds(lowered, _SPECIALIST) and category is not Category.CODING
    for index, entry in enumerate(catalog.priority[category]):
        if _holds(lowered, entry) and not (specialist and _SPECIALIST not in entry):
            return index
    return _UNLISTED


def _unusable(info: ModelInfo, catalog: Catalog) -> str | None:
    if info.capabilities and not info.capabilities & {"completion", "vision", "tools", "thinking"}:
        return f"cannot chat: it offers {', '.join(sorted(info.capabilities))}"
    lowered = info.name.lower()
    for entry in catalog.unusable:
        if _holds(lowered, entry) and "completion" not in info.capabilities:
            return f"gives no text: its name holds {entry!r}"
    return None


def _parameters(info: ModelInfo) -> int | None:
    return info.parameters or parameters_in_name(info.name)


def _holds(name: str, entry: str) -> bool:
    return _pattern(entry).search(name) is not None


@lru_cache(maxsize=1024)
def _pattern(entry: str) -> re.Pattern[str]:
    """A pattern that finds the entry with any separators, but not inside a word or number: "phi" is
    not in "dolphin", "qwen:3" not in "qwen:32b"."""
    parts = re.findall(r"[a-z]+|\d+", entry.lower())
    before = "(?<![a-z])" if entry[:1].isalpha() else "-"
    after = r"(?!\d)" if parts[-1].isdigit() else ""
    return re.compile(before + "[-:._]?".join(parts) + after)


def _merged(base: Catalog | None, document: Mapping[str, Any]) -> Catalog:
    _known(document, {"priority", "strength", "classes", "unusable"}, "at the top")
    priority = dict(base.priority) if base else {}
    for name, entries in _table(document, "priority").items():
        priority[_category(name)] = _names(entries, f"priority.{name}")
    classes = _table(document, "classes")
    sizes = {name: _size(value, name) for name, value in classes.items()}
    _known(sizes, {"heavy_parameters", "heavy_bytes", "fast_parameters", "fast_bytes"}, "classes")
    unusable = _table(document, "unusable")
    _known(unusable, {"names"}, "unusable")
    if "names" in unusable:
        sizes["unusable"] = _names(unusable["names"], "unusable.names")
    numbers = _table(document, "strength")
    _known(numbers, {entry.name for entry in fields(StrengthRule)}, "strength")
    changed = {name: _positive(value, f"strength.{name}") for name, value in numbers.items()}
    if base is None:
        return Catalog(priority=priority, strength=StrengthRule(**changed), **sizes)
    strength = replace(base.strength, **changed)
    return replace(base, priority=priority, strength=strength, **sizes)


def _table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise CatalogError(f"{name} must be a table")
    return table


def _known(table: Mapping[str, Any], names: set[str], where: str) -> None:
    unknown = sorted(set(table) - names)
    if unknown:
        raise CatalogError(f"unknown key {unknown[0]!r} ({where}); use {', '.join(sorted(names))}")


def _category(name: str) -> Category:
    try:
        return Category(name)
    except ValueError as exc:
        known = ", ".join(category.value for category in Category)
        raise CatalogError(f"priority.{name} is no category; use {known}") from exc


def _names(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise CatalogError(f"{where} must be a list of names")
    return tuple(value)


def _size(value: object, name: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise CatalogError(f"classes.{name} must be a whole number")
    return value


def _positive(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise CatalogError(f"{where} must be a number above 0")
    return float(value)
