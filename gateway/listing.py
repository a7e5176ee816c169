"""The names that callers may use, as OpenAI's and Ollama's lists show them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gateway.calls import JsonObject
from gateway.names import AUTO, EXPERT, NamedExpert
from jobs.process.clock import utc_now
from llm.types import Category, Scan, ServerScan
from llm.wire import ollama
from llm.wire.values import ModelCard

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
USUAL_KEEP_ALIVE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Listed:
    """A name, its owner, and a sentence about it."""

    name: str
    owner: str
    description: str
    card: ModelCard


def listed(scan: Scan, experts: Sequence[NamedExpert]) -> list[Listed]:
    """Real models first, each name once, then categories, then experts."""
    found: dict[str, Listed] = {}
    for entry in (*_models(scan), *_categories(scan), *_experts(experts)):
        found.setdefault(entry.name, entry)
    return list(found.values())


def openai_models(entries: Sequence[Listed]) -> JsonObject:
    return {"object": "list", "data": [openai_model(entry) for entry in entries]}


def openai_model(entry: Listed) -> JsonObject:
    return {
        "id": entry.name,
        "object": "model",
        "created": int(EPOCH.timestamp()),
        "owned_by": entry.owner,
        "description": entry.description,
    }


def ollama_tags(entries: Sequence[Listed]) -> JsonObject:
    return ollama.tags(entry.card for entry in entries)


def ollama_ps(scan: Scan, resident: Mapping[str, Sequence[str]]) -> JsonObject:
    """What is in memory: ``resident`` are the models last seen at each server."""
    now = utc_now()
    entries = []
    for server in scan.servers:
        of_scan = {model.name: model for model in server.resident}
        cards = {entry.name: entry.card for entry in _of_server(server)}
        for name in resident.get(server.backend, tuple(of_scan)):
            known, card = of_scan.get(name), cards.get(name)
            if card is not None:
                entry = ollama.ps_entry(
                    card,
                    expires_at=(known and known.expires_at) or now + USUAL_KEEP_ALIVE,
                    context_tokens=(known and known.context_tokens) or card.context_tokens,
                    size_bytes=known.size_bytes if known else None,
                )
                entries.append(entry)
    return ollama.ps(entries)


def _models(scan: Scan) -> Iterator[Listed]:
    for server in scan.servers:
        yield from _of_server(server)


def _of_server(server: ServerScan) -> Iterator[Listed]:
    for model in server.models or ():
        info = model.info
        card = ModelCard(
            name=info.name,
            size_bytes=info.size_bytes or 0,
            parameters=info.parameters or 0,
            quantization=info.quantization or "",
            context_tokens=info.context_tokens or 0,
            capabilities=tuple(sorted(info.capabilities)) or ("completion",),
            family=info.family or "",
        )
        heavy = ", heavy" if model.heavy else ""
        work = ", ".join(category.value for category in model.categories)
        yield Listed(info.name, server.backend, f"at {server.backend}; for {work}{heavy}", card)


def _categories(scan: Scan) -> Iterator[Listed]:
    for category in Category:
        best = next((model for s in scan.servers if (model := s.pick(category))), None)
        # Any model may take a task of words; only one that sees may take a picture.
        if best is not None and (category is not Category.VISION or category in best.categories):
            text = f"the best model for {category.value} that is there, such as {best.name}"
            yield Listed(category.value, "kos", text, _virtual(category.value))
    yield Listed(AUTO, "kos", "the category follows from the text", _virtual(AUTO))


def _experts(experts: Sequence[NamedExpert]) -> Iterator[Listed]:
    for expert in experts:
        name = f"{EXPERT}{expert.slug}"
        text = f"{expert.name}, {expert.role}" if expert.role else expert.name
        yield Listed(name, "kos", text, _virtual(name))


def _virtual(name: str) -> ModelCard:
    return ModelCard(name=name, size_bytes=0)
