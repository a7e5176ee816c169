"""From the name that a caller wrote to the models that may answer.

A name is a real model, ``backend/model``, a category, ``auto`` (the category follows from the
text), or ``expert/NAME``: the expert's persona before the caller's messages. A real model wins
over every other reading of its name.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.calls import Call
from gateway.errors import BadCall, UnknownModel
from jobs.policy.complexity import assess
from llm.types import Category, Scan, ScannedModel, ServerScan

AUTO = "auto"
EXPERT = "expert/"
MAX_LISTED = 3


@dataclass(frozen=True, slots=True)
class NamedExpert:
    """An expert as a name of the gateway shows it."""

    name: str
    role: str
    system_prompt: str
    preferred_model: str | None = None

    @property
    def slug(self) -> str:
        return slug_of(self.name)


@dataclass(frozen=True, slots=True)
class Place:
    """A model at a server where the call may run."""

    backend: str
    model: str
    heavy: bool
    context_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """``places`` best first; ``persona`` is None but for an expert."""

    places: tuple[Place, ...]
    persona: NamedExpert | None = None


def resolve(call: Call, *, scan: Scan, experts: Sequence[NamedExpert]) -> Target:
    """Raises UnknownModel with near matches, and BadCall if no server supports the request."""
    name = call.model
    places = _exact(name, scan) or _at_backend(name, scan)
    if places:
        return Target(_capable(places, call, scan))
    if name.startswith(EXPERT):
        return _expert(call, scan, experts)
    category = _category(name, call)
    if category is not None:
        return Target(_best(category, call, scan))
    raise _unknown(name, scan, experts)


def slug_of(name: str) -> str:
    """``Anna Weber`` -> ``anna-weber``; other scripts keep their letters."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"[^\w]+", "-", plain).strip("-")


def spellings(name: str) -> tuple[str, ...]:
    """Ollama's names carry a tag that people leave out."""
    return (name,) if ":" in name else (name, f"{name}:latest")


def _exact(name: str, scan: Scan) -> tuple[Place, ...]:
    wanted = spellings(name)
    return tuple(
        _place(server, model)
        for server, model in _models(scan)
        if model.name in wanted and model.broken is None
    )


def _at_backend(name: str, scan: Scan) -> tuple[Place, ...]:
    backend, _, model = name.partition("/")
    return tuple(place for place in _exact(model, scan) if place.backend == backend)


def _expert(call: Call, scan: Scan, experts: Sequence[NamedExpert]) -> Target:
    wanted = call.model.removeprefix(EXPERT)
    found = [e for e in experts if wanted in (e.name, e.slug) or slug_of(wanted) == e.slug]
    if not found:
        raise _unknown(call.model, scan, experts)
    persona = found[0]
    places = _exact(persona.preferred_model, scan) if persona.preferred_model else ()
    category = assess("", call.text, {}).category
    return Target(_capable(places, call, scan) if places else _best(category, call, scan), persona)


def _category(name: str, call: Call) -> Category | None:
    if name == AUTO:
        return Category.VISION if "vision" in call.needs else assess("", call.text, {}).category
    return Category(name) if name in set(Category) else None


def _best(category: Category, call: Call, scan: Scan) -> tuple[Place, ...]:
    """The first model of the category at every server that can do what the call needs."""
    places = []
    for server in scan.servers:
        ranked = [server.pick(category), *(server.models or ())]
        usable = [m for m in ranked if m and m.broken is None and _can(m, call)]
        if usable:
            places.append(_place(server, usable[0]))
    if not places:
        raise BadCall(f"no server that answers has a model for {_required(call, category)}")
    return tuple(places)


def _capable(places: Iterable[Place], call: Call, scan: Scan) -> tuple[Place, ...]:
    models = {(server.backend, model.name): model for server, model in _models(scan)}
    found = tuple(p for p in places if _can(models[p.backend, p.model], call))
    if not found:
        missing = ", ".join(sorted(call.needs))
        raise BadCall(f"the model {call.model!r} does not offer {missing}; choose another model")
    return found


def _can(model: ScannedModel, call: Call) -> bool:
    """A server that does not report its model's capabilities is assumed to have them."""
    capabilities = model.info.capabilities
    if not capabilities:
        return True
    if "embedding" in capabilities and not call.api.embeds and "completion" not in capabilities:
        return False
    return call.needs <= capabilities


def _unknown(name: str, scan: Scan, experts: Sequence[NamedExpert]) -> UnknownModel:
    names = [model.name for _, model in _models(scan)]
    names += [f"{EXPERT}{expert.slug}" for expert in experts]
    names += [*(category.value for category in Category), AUTO]
    near = difflib.get_close_matches(name, dict.fromkeys(names), n=MAX_LISTED, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; GET /v1/models lists the names"
    return UnknownModel(f"no server has the model {name!r}{hint}")


def _models(scan: Scan) -> Iterable[tuple[ServerScan, ScannedModel]]:
    return ((server, model) for server in scan.servers for model in server.models or ())


def _place(server: ServerScan, model: ScannedModel) -> Place:
    return Place(server.backend, model.name, model.heavy, model.info.context_tokens)


def _required(call: Call, category: Category) -> str:
    return " and ".join([category.value, *sorted(call.needs)])
