"""OpenAI's endpoints."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from llm.mlx_server.errors import ServerError
from llm.mlx_server.fields import parse_body
from llm.mlx_server.job import Finished, Loaded
from llm.mlx_server.ollama_routes import usage_of
from llm.mlx_server.openai_requests import ChatCompletionRequest, read_chat_completion
from llm.mlx_server.responses import (
    StreamedAnswer,
    error_body,
    json_response,
    read_body,
    until_disconnect,
)
from llm.mlx_server.service import AnswerStream, MlxService, collect
from llm.mlx_server.text import Piece
from llm.wire import openai

OWNER = "mlx"
PATH = "/v1/chat/completions"


class OpenAIRoutes:
    def __init__(self, service: MlxService) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        return [
            Route("/v1/models", self.models),
            Route("/v1/models/{name:path}", self.model),
            Route(PATH, self.chat_completions, methods=["POST"]),
        ]

    async def models(self, request: Request) -> Response:
        cards = (entry.card() for entry in self._service.catalog.entries())
        return json_response(openai.models(cards, owned_by=OWNER))

    async def model(self, request: Request) -> Response:
        entry = self._service.catalog.find(request.path_params["name"])
        return json_response(openai.model(entry.card(), owned_by=OWNER))

    async def chat_completions(self, request: Request) -> Response:
        settings = self._service.settings
        raw = await read_body(
            request, max_bytes=settings.max_body_bytes, seconds=settings.body_seconds
        )
        wanted = read_chat_completion(parse_body(raw))
        answer = await until_disconnect(request.receive, self._service.begin(wanted.request))
        try:
            if not wanted.request.stream:
                return await until_disconnect(request.receive, _whole(answer, wanted.request.model))
            first = await until_disconnect(request.receive, answer.next())
        except BaseException:
            answer.close()
            raise
        return StreamedAnswer(
            answer, _events(answer, first, wanted), media_type=openai.EVENT_STREAM
        )


async def _whole(answer: AnswerStream, model: str) -> Response:
    whole = await collect(answer)
    answer.close()
    assert isinstance(whole.end, Finished)
    body = openai.completion(
        completion_id=_new_id(),
        model=model,
        at=datetime.now(UTC),
        text=whole.text,
        finish_reason=whole.end.reason,
        usage=usage_of(whole.end),
        reasoning=whole.thinking,
    )
    return json_response(body)


async def _events(
    answer: AnswerStream, event: Piece | Finished | Loaded, wanted: ChatCompletionRequest
) -> AsyncIterator[bytes]:
    """The stream: role, pieces, finish reason, usage if requested, and the end marker. A failure is
    an error event without the end marker."""
    completion_id, model, at = _new_id(), wanted.request.model, datetime.now(UTC)
    role = openai.chunk(completion_id=completion_id, model=model, at=at, role="assistant", text="")
    yield openai.event(role)
    try:
        while isinstance(event, Piece):
            piece = openai.chunk(
                completion_id=completion_id,
                model=model,
                at=at,
                text=event.text,
                reasoning=event.thinking,
            )
            yield openai.event(piece)
            event = await answer.next()
    except ServerError as error:
        yield openai.event(error_body(error, path=PATH))
        return
    assert isinstance(event, Finished)
    reason = event.reason
    last = openai.chunk(completion_id=completion_id, model=model, at=at, finish_reason=reason)
    yield openai.event(last)
    if wanted.include_usage:
        usage = usage_of(event)
        figures = openai.usage_chunk(completion_id=completion_id, model=model, at=at, usage=usage)
        yield openai.event(figures)
    yield openai.DONE


def _new_id() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"
