"""Which model for which work: the priority table, and how a model nobody listed is classed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True)
class Catalog:
    """The priority table as read. ``priority`` holds parts of names, better ones first."""

    priority: Mapping[Category, tuple[str, ...]]
    heavy_parameters: int
    heavy_bytes: int
    fast_parameters: int
    fast_bytes: int
    unusable: tuple[str, ...]


def load_catalog(override: str | Path | None = None) -> Catalog:
    """The built-in table, with the keys of the TOML file ``override`` in place of its own."""
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
) -> ScannedModel:
    """Categories and weight of one model. ``chosen``: names by category that the user listed."""
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
        info=info, categories=categories, heavy=is_heavy(info, catalog), broken=broken
    )


def rank(
    models: Iterable[ScannedModel],
    *,
    catalog: Catalog,
    chosen: Mapping[str, tuple[str, ...]] | None = None,
) -> Ranking:
    """The names of a server's models for each category, best first.

    First what the user listed, then the table's order, then size: for fast work the smaller
    first, else the larger, and heavy ones last where the work is not known to need them. Models
    outside the category follow those within.
    """
    usable = [model for model in models if model.broken is None]
    return {
        category: tuple(
            model.name
            for model in sorted(
                usable, key=lambda model: _order(model, category, catalog, chosen or {})
            )
        )
        for category in Category
    }


def is_heavy(info: ModelInfo, catalog: Catalog) -> bool:
    """By parameter count or file size; by the size in the name only where neither is told."""
    parameters = info.parameters
    if parameters is None and info.size_bytes is None:
        parameters = parameters_in_name(info.name)
    return (parameters or 0) >= catalog.heavy_parameters or (
        info.size_bytes or 0
    ) >= catalog.heavy_bytes


def parameters_in_name(name: str) -> int | None:
    """32e9 for "qwen3:32b", 56e9 for "mixtral:8x7b", None where the name tells no size."""
    match = _SIZE_IN_NAME.search(name.lower())
    if match is None:
        return None
    scale = 1e9 if match.group(3) == "b" else 1e6
    return int(float(match.group(2)) * int(match.group(1) or 1) * scale) or None


def _order(
    model: ScannedModel,
    category: Category,
    catalog: Catalog,
    chosen: Mapping[str, tuple[str, ...]],
) -> tuple[float, ...]:
    listed = chosen.get(category.value, ())
    first = listed.index(model.name) if model.name in listed else _UNLISTED
    outside = category not in model.categories
    parameters = _parameters(model.info)
    if category is Category.FAST:
        place = _UNLISTED if outside else _place(model.name, category, catalog)
        return (first, outside, place, float("inf") if parameters is None else parameters)
    place = _place(model.name, Category.DEFAULT if outside else category, catalog)
    shun_heavy = model.heavy and (outside or category in (Category.DEFAULT, Category.VISION))
    return (first, outside, place, shun_heavy, -(parameters or 0))


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
    """The index of the first entry of the table that the name holds."""
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
    """The entry, not in the middle of a word: "phi" is not in "dolphin"."""
    boundary = "(?<![a-z])" if entry[:1].isalpha() else ""
    return re.compile(boundary + re.escape(entry.lower()))


def _merged(base: Catalog | None, document: Mapping[str, Any]) -> Catalog:
    _known(document, {"priority", "classes", "unusable"}, "at the top")
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
    if base is None:
        return Catalog(priority=priority, **sizes)
    return replace(base, priority=priority, **sizes)


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
