"""Ollama's endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from llm.mlx_server.errors import ServerError
from llm.mlx_server.fields import Fields, parse_body
from llm.mlx_server.job import Finished, Loaded
from llm.mlx_server.ollama_requests import read_chat, read_generate
from llm.mlx_server.requests import TextRequest
from llm.mlx_server.responses import StreamedAnswer, json_response, read_body, until_disconnect
from llm.mlx_server.service import AnswerStream, MlxService, collect
from llm.mlx_server.text import Piece
from llm.wire import ollama
from llm.wire.values import GenerationUsage, JsonObject

VERSION = "0.32.0"
FOR_EVER = timedelta(days=365 * 100)

ReadRequest = Callable[[dict[str, Any]], TextRequest]
Build = Callable[..., JsonObject]


class OllamaRoutes:
    def __init__(self, service: MlxService) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        return [
            Route("/", self.root, methods=["GET", "HEAD"]),
            Route("/api/version", self.version),
            Route("/api/tags", self.tags),
            Route("/api/ps", self.ps),
            Route("/api/show", self.show, methods=["POST"]),
            Route("/api/generate", self.generate, methods=["POST"]),
            Route("/api/chat", self.chat, methods=["POST"]),
        ]

    async def root(self, request: Request) -> Response:
        return PlainTextResponse(ollama.ROOT_TEXT)

    async def version(self, request: Request) -> Response:
        return json_response(ollama.version(VERSION))

    async def tags(self, request: Request) -> Response:
        return json_response(ollama.tags(each.card() for each in self._service.catalog.entries()))

    async def ps(self, request: Request) -> Response:
        now = datetime.now(UTC)
        entries = []
        known = {entry.name: entry for entry in self._service.catalog.entries()}
        for resident in self._service.engine.view.residents:
            model = known.get(resident.name)
            if model is None:  # Its folder was removed while the server runs.
                continue
            left = resident.expires_in_seconds
            expires_at = now + (FOR_EVER if left is None else timedelta(seconds=left))
            entry = ollama.ps_entry(
                model.card(),
                expires_at=expires_at,
                context_tokens=model.context_tokens,
                size_bytes=resident.size_bytes + resident.prefix_cache_bytes,
                active_requests=resident.active,
            )
            entries.append(entry)
        return json_response(ollama.ps(entries))

    async def show(self, request: Request) -> Response:
        fields = Fields(parse_body(await self._body(request)))
        entry = self._service.catalog.find(fields.text("model", fields.text("name", "")))
        tokenizer = await self._service.tokenizer(entry)
        card = entry.card(capabilities=tokenizer.capabilities)
        return json_response(ollama.show(card, template=tokenizer.template))

    async def generate(self, request: Request) -> Response:
        builders = (ollama.generate_chunk, ollama.generate_final)
        return await self._serve(request, read_generate, *builders)

    async def chat(self, request: Request) -> Response:
        return await self._serve(request, read_chat, ollama.chat_chunk, ollama.chat_final)

    async def _serve(
        self, request: Request, read: ReadRequest, chunk: Build, final: Build
    ) -> Response:
        wanted = read(parse_body(await self._body(request)))
        if wanted.unloads:
            self._service.unload(wanted.model)
            return json_response(final(model=wanted.model, at=datetime.now(UTC), reason="unload"))
        answer = await until_disconnect(request.receive, self._service.begin(wanted))
        try:
            if not wanted.stream or wanted.only_loads:
                return await until_disconnect(request.receive, _whole(answer, wanted, final))
            first = await until_disconnect(request.receive, answer.next())
        except BaseException:
            answer.close()
            raise
        lines = _lines(answer, first, model=wanted.model, chunk=chunk, final=final)
        return StreamedAnswer(answer, lines, media_type=ollama.NDJSON)

    async def _body(self, request: Request) -> bytes:
        settings = self._service.settings
        return await read_body(
            request, max_bytes=settings.max_body_bytes, seconds=settings.body_seconds
        )


async def _whole(answer: AnswerStream, wanted: TextRequest, final: Build) -> Response:
    whole = await collect(answer)
    answer.close()
    now = datetime.now(UTC)
    if isinstance(whole.end, Loaded):
        return json_response(final(model=wanted.model, at=now, reason="load"))
    body = final(
        model=wanted.model,
        at=now,
        reason=whole.end.reason,
        usage=usage_of(whole.end),
        text=whole.text,
        thinking=whole.thinking,
    )
    return json_response(body)


async def _lines(
    answer: AnswerStream,
    event: Piece | Finished | Loaded,
    *,
    model: str,
    chunk: Build,
    final: Build,
) -> AsyncIterator[bytes]:
    """The stream: one line per piece and a last one, which also reports a failure."""
    try:
        while isinstance(event, Piece):
            at = datetime.now(UTC)
            yield ollama.line(chunk(model=model, at=at, text=event.text, thinking=event.thinking))
            event = await answer.next()
    except ServerError as error:
        yield ollama.line(ollama.error(str(error)))
        return
    assert isinstance(event, Finished)
    at = datetime.now(UTC)
    yield ollama.line(final(model=model, at=at, reason=event.reason, usage=usage_of(event)))


def usage_of(end: Finished) -> GenerationUsage:
    return GenerationUsage(
        prompt_tokens=end.prompt_tokens,
        cached_tokens=end.cached_tokens,
        completion_tokens=end.completion_tokens,
        load_seconds=end.load_seconds,
        prompt_seconds=end.prompt_seconds,
        completion_seconds=end.completion_seconds,
        total_seconds=end.total_seconds,
    )
