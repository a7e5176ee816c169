"""A scan as JSON text, for a cache that processes share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from llm.types import (
    BackendKind,
    Category,
    ModelInfo,
    ResidentModel,
    Sampling,
    Scan,
    ScannedModel,
    ServerScan,
)

VERSION = 4


def dumps(scan: Scan) -> str:
    return json.dumps(
        {
            "version": VERSION,
            "at": _written(scan.at),
            "servers": [_server_out(server) for server in scan.servers],
        },
        separators=(",", ":"),
    )


def loads(text: str) -> Scan:
    """Raises ValueError where ``text`` is not what `dumps` of this version wrote."""
    try:
        document = json.loads(text)
        if document["version"] != VERSION:
            raise ValueError(f"a scan of version {document['version']}")
        return Scan(
            at=datetime.fromisoformat(document["at"]),
            servers=tuple(_server_in(server) for server in document["servers"]),
        )
    except (KeyError, TypeError, AttributeError) as exc:
        raise ValueError(f"not a scan: {exc!r}") from exc


def _server_out(server: ServerScan) -> dict[str, Any]:
    return {
        "backend": server.backend,
        "kind": server.kind.value,
        "models": None if server.models is None else [_scanned_out(m) for m in server.models],
        "resident": [_resident_out(model) for model in server.resident],
        "error": server.error,
        "scanned_at": server.scanned_at and _written(server.scanned_at),
        "ranking": {category.value: names for category, names in server.ranking.items()},
    }


def _server_in(fields: Mapping[str, Any]) -> ServerScan:
    models = fields["models"]
    return ServerScan(
        backend=fields["backend"],
        kind=BackendKind(fields["kind"]),
        models=None if models is None else tuple(_scanned_in(model) for model in models),
        resident=tuple(_resident_in(model) for model in fields["resident"]),
        error=fields["error"],
        scanned_at=_read(fields["scanned_at"]),
        ranking={Category(name): tuple(names) for name, names in fields["ranking"].items()},
    )


def _scanned_out(model: ScannedModel) -> dict[str, Any]:
    info = model.info
    return {
        "name": info.name,
        "size_bytes": info.size_bytes,
        "parameters": info.parameters,
        "quantization": info.quantization,
        "context_tokens": info.context_tokens,
        "capabilities": sorted(info.capabilities),
        "family": info.family,
        "sampling": info.sampling.values(),
        "categories": [category.value for category in model.categories],
        "heavy": model.heavy,
        "broken": model.broken,
        "strengths": {category.value: value for category, value in model.strengths.items()},
    }


def _scanned_in(fields: Mapping[str, Any]) -> ScannedModel:
    return ScannedModel(
        info=ModelInfo(
            name=fields["name"],
            size_bytes=fields["size_bytes"],
            parameters=fields["parameters"],
            quantization=fields["quantization"],
            context_tokens=fields["context_tokens"],
            capabilities=frozenset(fields["capabilities"]),
            family=fields["family"],
            sampling=Sampling(**fields["sampling"]),
        ),
        categories=tuple(Category(name) for name in fields["categories"]),
        heavy=fields["heavy"],
        broken=fields["broken"],
        strengths={Category(name): value for name, value in fields["strengths"].items()},
    )


def _resident_out(model: ResidentModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "size_bytes": model.size_bytes,
        "context_tokens": model.context_tokens,
        "expires_at": model.expires_at and _written(model.expires_at),
        "active_requests": model.active_requests,
        "prompt_slots": model.prompt_slots,
    }


def _resident_in(fields: Mapping[str, Any]) -> ResidentModel:
    return ResidentModel(
        name=fields["name"],
        size_bytes=fields["size_bytes"],
        context_tokens=fields["context_tokens"],
        expires_at=_read(fields["expires_at"]),
        active_requests=fields["active_requests"],
        prompt_slots=fields["prompt_slots"],
    )


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _read(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
