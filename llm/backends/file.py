"""Further model servers from a TOML file: see `examples/backends.toml`."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from llm.types import BackendKind, BackendSpec, Category
from llm.urls import NormalisedUrl, UrlError, normalise

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COUNTS = ("max_concurrent", "requests_per_minute", "tokens_per_minute", "max_resident_models")
_KEYS = ("name", "kind", "url", "api_key_env", *_COUNTS, "metrics_urls", "models")


class BackendsFileError(ValueError):
    """The file cannot be used; the message names the entry, the key and what to write."""


def load(path: str | Path) -> tuple[BackendSpec, ...]:
    """The servers that the file names, in its order; raises BackendsFileError."""
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as exc:
        raise BackendsFileError(f"{path}: cannot be read: {exc.strerror}") from exc
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise BackendsFileError(f"{path}: is not valid TOML: {exc}") from exc
    try:
        return _specs(document)
    except BackendsFileError as exc:
        raise BackendsFileError(f"{path}: {exc}") from exc


def _specs(document: Mapping[str, Any]) -> tuple[BackendSpec, ...]:
    _reject_unknown(document, ("backend",), "at the top")
    entries = document.get("backend", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BackendsFileError("write each server as a table of its own under [[backend]]")
    specs = tuple(_spec(entry, number) for number, entry in enumerate(entries, start=1))
    names = [spec.name for spec in specs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BackendsFileError(f"backend {twice[0]!r} is named twice")
    return specs


def _spec(entry: Mapping[str, Any], number: int) -> BackendSpec:
    name = entry.get("name")
    where = f"backend {name!r}" if isinstance(name, str) else f"backend number {number}"
    _reject_unknown(entry, _KEYS, f"in {where}")
    for key in ("name", "kind", "url"):
        if not isinstance(entry.get(key), str):
            raise BackendsFileError(f"{where}: {key} is missing or no text")
    if not _NAME.fullmatch(entry["name"]):
        raise BackendsFileError(f"{where}: a name has small letters, digits, - and _, at most 40")
    address = _address(entry["url"], where)
    counts = {key: _count(entry[key], key, where) for key in _COUNTS if key in entry}
    return BackendSpec(
        name=entry["name"],
        kind=_kind(entry["kind"], where),
        url=address.url,
        basic_auth=address.basic_auth,
        api_key_env=_api_key_env(entry.get("api_key_env"), where),
        metrics_urls=_metrics_urls(entry.get("metrics_urls", []), where),
        models_by_category=_models(entry.get("models", {}), where),
        **counts,
    )


def _address(url: str, where: str) -> NormalisedUrl:
    try:
        return normalise(url)
    except UrlError as exc:
        raise BackendsFileError(f"{where}: {exc}") from exc


def _kind(text: str, where: str) -> BackendKind:
    try:
        return BackendKind(text)
    except ValueError as exc:
        kinds = [kind.value for kind in BackendKind]
        raise BackendsFileError(
            f"{where}: kind {text!r} is not known{_meant(text, kinds)}; use {', '.join(kinds)}"
        ) from exc


def _count(value: object, key: str, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BackendsFileError(f"{where}: {key} must be a whole number of at least 1")
    return value


def _api_key_env(value: object, where: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _ENVIRONMENT_NAME.fullmatch(value):
        raise BackendsFileError(
            f"{where}: api_key_env names the environment variable that holds the key, "
            "not the key itself"
        )
    return value


def _metrics_urls(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(url, str) for url in value):
        raise BackendsFileError(f"{where}: metrics_urls must be a list of addresses")
    addresses = [_address(url, where) for url in value]
    if any(address.basic_auth for address in addresses):
        raise BackendsFileError(f"{where}: metrics_urls are read without a password: remove it")
    return tuple(address.url for address in addresses)


def _models(value: object, where: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise BackendsFileError(f"{where}: models is a table of lists, one a category")
    _reject_unknown(value, [category.value for category in Category], f"in models of {where}")
    for category, names in value.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise BackendsFileError(f"{where}: models.{category} must be a list of model names")
    return {category: tuple(names) for category, names in value.items()}


def _reject_unknown(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    names = list(known)
    for key in table:
        if key not in names:
            raise BackendsFileError(f"unknown key {key!r} {where}{_meant(key, names)}")


def _meant(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f": did you mean {close[0]!r}?" if close else ""
