"""How a call is put to a server: the path, the body, and how its answer is read."""

from __future__ import annotations

from functools import partial

from gateway.calls import Api, Call, JsonObject
from gateway.dialects import ollama_from_openai, openai_from_ollama
from gateway.dialects.stream import (
    EventStreamAsIs,
    JsonLinesAsIs,
    object_of,
    ollama_tokens,
    usage_of,
)
from gateway.dialects.values import Route, Tokens
from gateway.errors import BadCall
from llm.kinds import traits_of
from llm.types import BackendKind


def route(
    call: Call,
    kind: BackendKind,
    *,
    model: str,
    num_ctx: int | None,
    keep_alive: str | int | None = None,
) -> Route:
    """The route of ``call`` to ``model`` at a server of ``kind``.

    ``num_ctx`` is the context that the server is asked for, where a change of it would load the
    model anew (Ollama); None elsewhere. ``keep_alive`` is what tasks tell Ollama.

    Raises BadCall where the kind cannot serve the call.
    """
    body = {**call.body, "model": model}
    # What stays in memory is decided in one place: a chat that names a keep_alive would unload the
    # model of the tasks, or hold one that they have to replace.
    body.pop("keep_alive", None)
    if keep_alive is not None and call.api.is_ollama and not call.api.embeds:
        body["keep_alive"] = keep_alive
    traits = traits_of(kind)
    if call.api.embeds and not traits.embeds:
        raise BadCall(f"{model} makes no embeddings; choose a model of another server")
    if call.api.is_ollama:
        if traits.speaks_ollama:
            return _as_is(call.api, _with_context(body, num_ctx, call.api))
        return openai_from_ollama.route(call.api, body)
    if num_ctx is not None:
        translated = ollama_from_openai.translated(call.api, body, num_ctx=num_ctx)
        if translated is not None:
            return translated
    if call.api is Api.OPENAI_COMPLETIONS and not traits.completes:
        raise BadCall(f"{model} offers chats only: POST /v1/chat/completions")
    return _as_is(call.api, body)


def _as_is(api: Api, body: JsonObject) -> Route:
    reader = JsonLinesAsIs if api.is_ollama else EventStreamAsIs
    return Route(api.value, body, reader, partial(_unchanged, is_ollama=api.is_ollama))


def _unchanged(answer: bytes, *, is_ollama: bool) -> tuple[bytes, Tokens]:
    found = object_of(answer.strip()) or {}
    if is_ollama:
        return answer, ollama_tokens(found)
    usage = found.get("usage")
    return answer, usage_of(usage) if isinstance(usage, dict) else Tokens()


def _with_context(body: JsonObject, num_ctx: int | None, api: Api) -> JsonObject:
    """Ollama loads a model anew for another context, so chats and tasks share a few sizes. What is
    no number is the server's to refuse."""
    if num_ctx is None or api.embeds:
        return body
    options = body.get("options")
    options = dict(options) if isinstance(options, dict) else {}
    if isinstance(options.get("num_ctx", num_ctx), int):
        options["num_ctx"] = num_ctx
    return {**body, "options": options}
