"""Workloads as JSON documents: read with errors that name the field, written back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from jobs.simulation.workload import (
    Pair,
    VirtualBackend,
    VirtualModel,
    VirtualRequest,
    VirtualTask,
    Workload,
    WorkloadError,
)
from llm.types import BackendKind, Category
from models.states import Priority

E = TypeVar("E", bound=StrEnum)

RESERVED = "interactive_reserved"
PATIENCE = "interactive_patience_seconds"
KEEP = "interactive_keep_seconds"
MAY_BE_EMPTY = frozenset({"tasks", "interactive"})


def read_workload(path: Path) -> Workload:
    """Read a file. Raises WorkloadError for what is not a workload, OSError for no file."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WorkloadError(f"{path}: not JSON: {error}") from error
    return workload_from_json(document, name=path.stem)


def workload_from_json(document: object, *, name: str = "file") -> Workload:
    """Check and convert a parsed document."""
    if not isinstance(document, Mapping):
        raise WorkloadError("a workload is an object with backends, models and tasks")
    backends = tuple(_backend(item, at) for at, item in _items(document, "backends"))
    models = tuple(_model(item, at) for at, item in _items(document, "models"))
    _check_places(backends, models)
    known = {model.pair for model in models}
    tasks = tuple(_task(item, at, known) for at, item in _items(document, "tasks"))
    workload = Workload(
        backends=backends,
        models=models,
        tasks=tasks,
        name=str(document.get("name", name)),
        allow_two_heavy=bool(document.get("allow_two_heavy", True)),
        fairness_seconds=_number(document, "fairness_seconds", "workload", 900.0),
        interactive=tuple(
            _request(item, at, known)
            for at, item in _items({"interactive": [], **document}, "interactive")
        ),
        interactive_reserved=_reserved(document),
        interactive_patience_seconds=_number(document, PATIENCE, "workload", 10.0),
        interactive_keep_seconds=_number(document, KEEP, "workload", 600.0),
    )
    _check_names(workload)
    return workload


def workload_to_json(workload: Workload) -> dict[str, Any]:
    """The document that ``workload_from_json`` reads."""
    return {
        "name": workload.name,
        "allow_two_heavy": workload.allow_two_heavy,
        "fairness_seconds": workload.fairness_seconds,
        "backends": [_backend_json(backend) for backend in workload.backends],
        "models": [
            {
                "backend": m.backend,
                "model": m.model,
                "load_seconds": m.load_seconds,
                "heavy": m.heavy,
                "mean_service_seconds": m.mean_service_seconds,
            }
            for m in workload.models
        ],
        "tasks": [_task_json(task) for task in workload.tasks],
        "interactive": [
            {
                "id": request.id,
                "arrival_seconds": request.arrival_seconds,
                "service_seconds": _places_json(request.service_seconds),
            }
            for request in workload.interactive
        ],
        RESERVED: workload.interactive_reserved,
        PATIENCE: workload.interactive_patience_seconds,
        KEEP: workload.interactive_keep_seconds,
    }


def _items(document: Mapping[str, Any], field: str) -> list[tuple[str, Mapping[str, Any]]]:
    items = document.get(field)
    if not isinstance(items, list) or (field not in MAY_BE_EMPTY and not items):
        raise WorkloadError(f"{field}: a list is needed")
    for number, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise WorkloadError(f"{field}[{number}]: an object is needed")
    return [(f"{field}[{number}]", item) for number, item in enumerate(items)]


def _backend(item: Mapping[str, Any], at: str) -> VirtualBackend:
    name = _text(item, "name", at)
    heavy_limit = item.get("heavy_limit")
    return VirtualBackend(
        name=name,
        slots=_whole(item, "slots", at, None),
        resident_models=_whole(item, "resident_models", at, 1),
        kind=_word(BackendKind, item.get("kind") or _kind_of(name, at), f"{at}.kind"),
        resident=tuple(str(model) for model in item.get("resident", ())),
        heavy_limit=None if heavy_limit is None else _whole(item, "heavy_limit", at, None),
        outages=tuple(_outage(pair, f"{at}.outages") for pair in item.get("outages", ())),
        prompt_slots=bool(item.get("prompt_slots", False)),
    )


def _model(item: Mapping[str, Any], at: str) -> VirtualModel:
    return VirtualModel(
        backend=_text(item, "backend", at),
        model=_text(item, "model", at),
        load_seconds=_number(item, "load_seconds", at, None),
        mean_service_seconds=_number(item, "mean_service_seconds", at, None, positive=True),
        heavy=bool(item.get("heavy", False)),
    )


def _request(item: Mapping[str, Any], at: str, known: set[Pair]) -> VirtualRequest:
    return VirtualRequest(
        id=_text(item, "id", at),
        service_seconds=_service(item, at, known),
        arrival_seconds=_number(item, "arrival_seconds", at, 0.0),
    )


def _reserved(document: Mapping[str, Any]) -> int:
    value = _number(document, RESERVED, "workload", 1)
    if not value.is_integer():
        raise WorkloadError(f"workload.{RESERVED}: a whole number is needed")
    return int(value)


def _service(item: Mapping[str, Any], at: str, known: set[Pair]) -> dict[Pair, float]:
    service = item.get("service_seconds")
    if not isinstance(service, Mapping) or not service:
        raise WorkloadError(f"{at}.service_seconds: an object with at least one place is needed")
    return {
        _pair(place, known, at): _number(service, place, f"{at}.service_seconds", None)
        for place in service
    }


def _task(item: Mapping[str, Any], at: str, known: set[Pair]) -> VirtualTask:
    bug = item.get("bug_probability")
    return VirtualTask(
        id=_text(item, "id", at),
        service_seconds=_service(item, at, known),
        arrival_seconds=_number(item, "arrival_seconds", at, 0.0),
        priority=_word(Priority, item.get("priority", "medium"), f"{at}.priority"),
        category=_word(Category, item.get("category", "default"), f"{at}.category"),
        complexity=_number(item, "complexity", at, 0.5),
        bug_probability=None if bug is None else _number(item, "bug_probability", at, None),
        **_prompt(item, at),
    )


def _prompt(item: Mapping[str, Any], at: str) -> dict[str, Any]:
    """``prefix`` and ``prompt_tokens``, of which the prefix is a part."""
    pieces = item.get("prefix", ())
    if not isinstance(pieces, Sequence) or not all(_is_piece(piece) for piece in pieces):
        raise WorkloadError(f"{at}.prefix: a list of [name, tokens] is needed")
    shared = sum(tokens for _, tokens in pieces)
    if not pieces and "prompt_tokens" not in item:
        return {}
    whole = _whole(item, "prompt_tokens", at, None)
    if whole < shared:
        raise WorkloadError(f"{at}.prompt_tokens: {whole} is less than its prefix of {shared}")
    return {"prefix": tuple((name, tokens) for name, tokens in pieces), "prompt_tokens": whole}


def _is_piece(piece: object) -> bool:
    if not isinstance(piece, list) or len(piece) != 2:
        return False
    name, tokens = piece
    return isinstance(name, str) and type(tokens) is int and tokens >= 0


def _pair(place: str, known: set[Pair], at: str) -> Pair:
    backend, _, model = str(place).partition("/")
    if (backend, model) not in known:
        raise WorkloadError(f"{at}.service_seconds: {place} is not among the models")
    return backend, model


def _check_names(workload: Workload) -> None:
    names = [backend.name for backend in workload.backends]
    for kind, values in (
        ("backends", names),
        ("models", [model.pair for model in workload.models]),
        ("tasks", [task.id for task in workload.with_requests_as_tasks.tasks]),
    ):
        if len(set(values)) != len(values):
            raise WorkloadError(f"{kind}: a name stands twice")


def _check_places(backends: tuple[VirtualBackend, ...], models: tuple[VirtualModel, ...]) -> None:
    names = {backend.name for backend in backends}
    for number, model in enumerate(models):
        if model.backend not in names:
            raise WorkloadError(f"models[{number}].backend: no backend named {model.backend}")


def _text(item: Mapping[str, Any], field: str, at: str) -> str:
    value = item.get(field)
    if not isinstance(value, str) or not value:
        raise WorkloadError(f"{at}.{field}: a text is needed")
    return value


def _number(
    item: Mapping[str, Any],
    field: str,
    at: str,
    default: float | None,
    *,
    positive: bool = False,
) -> float:
    value = item.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise WorkloadError(f"{at}.{field}: a number is needed")
    if value < 0 or (positive and value == 0):
        raise WorkloadError(f"{at}.{field}: {value} is too small")
    return float(value)


def _whole(item: Mapping[str, Any], field: str, at: str, default: int | None) -> int:
    value = item.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise WorkloadError(f"{at}.{field}: a whole number of at least 1 is needed")
    return value


def _word(kind: type[E], value: object, at: str) -> E:
    try:
        return kind(str(value))
    except ValueError:
        raise WorkloadError(f"{at}: {value!r} is none of {', '.join(kind)}") from None


def _outage(pair: object, at: str) -> tuple[float, float]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise WorkloadError(f"{at}: pairs of start and end seconds are needed, null for never")
    start, end = pair
    return float(start), math.inf if end is None else float(end)


def _kind_of(name: str, at: str) -> str:
    """The kind that the server's name tells, where the file names none."""
    lowered = name.lower()
    found = next((kind.value for kind in BackendKind if kind.value in lowered), None)
    if found is None:
        known = ", ".join(kind.value for kind in BackendKind)
        raise WorkloadError(f"{at}.kind: name the kind of {name!r}; known: {known}")
    return found


def _backend_json(backend: VirtualBackend) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": backend.name,
        "slots": backend.slots,
        "resident_models": backend.resident_models,
        "kind": backend.kind.value,
    }
    if backend.resident:
        document["resident"] = list(backend.resident)
    if backend.heavy_limit is not None:
        document["heavy_limit"] = backend.heavy_limit
    if backend.outages:
        document["outages"] = [[s, None if math.isinf(e) else e] for s, e in backend.outages]
    if backend.prompt_slots:
        document["prompt_slots"] = True
    return document


def _task_json(task: VirtualTask) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": task.id,
        "arrival_seconds": task.arrival_seconds,
        "priority": task.priority.value,
        "category": task.category.value,
        "complexity": task.complexity,
        "service_seconds": _places_json(task.service_seconds),
    }
    if task.bug_probability is not None:
        document["bug_probability"] = task.bug_probability
    if task.prompt_tokens:
        document["prefix"] = [[name, tokens] for name, tokens in task.prefix]
        document["prompt_tokens"] = task.prompt_tokens
    return document


def _places_json(service: Mapping[Pair, float]) -> dict[str, float]:
    return {f"{backend}/{model}": seconds for (backend, model), seconds in service.items()}
