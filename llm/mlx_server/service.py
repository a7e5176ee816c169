"""What both wire formats do with a checked request: admit, prepare, submit, read the answer."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import ExitStack
from dataclasses import dataclass

from llm.mlx_server.catalog import LocalModels, ModelEntry
from llm.mlx_server.engine import Engine
from llm.mlx_server.errors import ServerError
from llm.mlx_server.job import EngineJob, Finished, Loaded
from llm.mlx_server.metrics import ServerMetrics
from llm.mlx_server.preparing import load_job, text_job
from llm.mlx_server.request_limit import RequestLimit
from llm.mlx_server.requests import TextRequest
from llm.mlx_server.settings import ServerSettings
from llm.mlx_server.text import Piece
from llm.mlx_server.tokenizers import ModelTokenizer, TokenizerStore

INLINE_CHARS = 8_192


class AnswerStream:
    """The events of one request. ``close`` frees its place, whether or not it ended."""

    def __init__(
        self, job: EngineJob, *, engine: Engine, metrics: ServerMetrics, place: ExitStack
    ) -> None:
        self._job = job
        self._engine = engine
        self._metrics = metrics
        self._place = place
        self._ended = False
        self._end: Finished | None = None

    async def next(self) -> Piece | Finished | Loaded:
        """The next piece; at the end Finished or Loaded. Raises ServerError if the request
        failed."""
        if self._end is not None:
            return self._finished(self._end)
        event = await self._job.channel.next()
        if isinstance(event, Piece):
            return event
        self._ended = True
        if isinstance(event, ServerError):
            self._metrics.failed(self._job.model.name, event)
            raise event
        if isinstance(event, Finished):
            return self._last_piece(event)
        return event

    def close(self) -> None:
        if not self._ended:
            self._ended = True
            self._engine.cancel(self._job)
            self._metrics.cancelled(self._job.model.name)
        self._place.close()

    def _last_piece(self, end: Finished) -> Piece | Finished:
        """The text that was held back, sent before the end event."""
        text = self._job.text
        assert text is not None
        piece = text.finish()
        if text.stopped:
            end = dataclasses.replace(end, reason="stop")
        if not piece.text and not piece.thinking:
            return self._finished(end)
        self._end = end
        return piece

    def _finished(self, end: Finished) -> Finished:
        self._metrics.finished(self._job.model.name, end)
        return end


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeAnswer:
    text: str
    thinking: str
    end: Finished | Loaded


async def collect(answer: AnswerStream) -> WholeAnswer:
    """Read an answer to its end."""
    texts: list[str] = []
    thoughts: list[str] = []
    while isinstance(event := await answer.next(), Piece):
        texts.append(event.text)
        thoughts.append(event.thinking)
    return WholeAnswer(text="".join(texts), thinking="".join(thoughts), end=event)


@dataclass(slots=True, kw_only=True)
class MlxService:
    """The parts of the server."""

    settings: ServerSettings
    catalog: LocalModels
    tokenizers: TokenizerStore
    request_limit: RequestLimit
    engine: Engine
    metrics: ServerMetrics

    async def begin(self, request: TextRequest) -> AnswerStream:
        """Admit and submit ``request``; the caller must close the answer. Raises ServerError before
        anything has started."""
        entry = self.catalog.find(request.model)
        with ExitStack() as place:
            place.enter_context(self.request_limit.enter(entry.name))
            job = await self._prepare(request, entry)
            kept = place.pop_all()
        self.engine.submit(job)
        return AnswerStream(job, engine=self.engine, metrics=self.metrics, place=kept)

    async def preload(self, request: TextRequest) -> None:
        """Bring a model into memory. Raises ServerError."""
        answer = await self.begin(request)
        try:
            await answer.next()
        finally:
            answer.close()

    async def tokenizer(self, entry: ModelEntry) -> ModelTokenizer:
        """Load it in a thread if necessary. Raises GenerationFailed."""
        ready = self.tokenizers.ready(entry)
        return ready if ready is not None else await asyncio.to_thread(self.tokenizers.get, entry)

    def unload(self, name: str) -> None:
        """Drop a model once nobody uses it. Raises NoSuchModel."""
        self.engine.unload(self.catalog.find(name).name)

    async def _prepare(self, request: TextRequest, entry: ModelEntry) -> EngineJob:
        if request.only_loads:
            await self.tokenizer(entry)  # A model is ready only when its tokenizer is loaded, too.
            return load_job(request, entry, self.settings)
        ready = self.tokenizers.ready(entry)
        if ready is not None and _is_quick(request):
            return text_job(request, entry, ready, self.settings)
        return await asyncio.to_thread(self._text_job, request, entry)

    def _text_job(self, request: TextRequest, entry: ModelEntry) -> EngineJob:
        return text_job(request, entry, self.tokenizers.get(entry), self.settings)


def _is_quick(request: TextRequest) -> bool:
    """Short enough to tokenize on the event loop."""
    if request.schema is not None:
        return False
    chars = sum(len(message.content) for message in request.messages)
    return chars + len(request.prompt or "") < INLINE_CHARS
