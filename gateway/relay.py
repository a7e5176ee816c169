"""One request from its body to its last byte.

    resolve the name -> order the places -> take a slot -> load the model -> send -> relay

Another place is tried until the first byte of an answer is out, never after it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import anyio
import anyio.to_thread
import redis
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.calls import Call
from gateway.desk import Desk
from gateway.dialects.joining import as_events, joined
from gateway.dialects.route import route
from gateway.dialects.stream import BrokenStream
from gateway.dialects.values import Route, StreamReader, Tokens
from gateway.errors import Away, BadCall, GatewayError, NoServer, answer_to
from gateway.exchange import Exchange
from gateway.interactive_slots import NOTE_SECONDS, FirstSlot, InteractiveSlots, Slot
from gateway.names import Place, Target
from gateway.request_log import Record, RequestLog
from gateway.upstream import Refusal, Upstream, UpstreamClient
from llm import errors
from llm.errors import LLMError

logger = logging.getLogger(__name__)

MOST_PLACES = 3
STALL_SECONDS = 120.0
MAKING_ROOM = "waiting until running tasks make room for the model"
LOADING = "loading the model"
READING = "reading the prompt"


class Relay(Response):
    """Answers ``call`` of ``caller``. A caller that hangs up ends everything within a second."""

    def __init__(
        self,
        call: Call,
        caller: str,
        *,
        desk: Desk,
        interactive_slots: InteractiveSlots,
        client: UpstreamClient,
        request_log: RequestLog,
    ) -> None:
        self._call = call
        self._desk = desk
        self._interactive_slots = interactive_slots
        self._client = client
        self._request_log = request_log
        text = call.text if desk.settings.gateway_log_texts else None
        self._record = Record(caller=caller, api=call.api.value, asked=call.model, text=text)
        self._began = time.monotonic()
        self._on_first_byte: Callable[[], None] = _nothing
        self._phase: str | None = None
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(self._call, send)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_until_hangup, receive, exchange, group.cancel_scope)
                group.start_soon(self._note_phases, exchange)
                await self._answer(exchange)
                group.cancel_scope.cancel()
        finally:
            self._record.duration_seconds = time.monotonic() - self._began
            self._request_log.add(self._record)

    async def _note_phases(self, exchange: Exchange) -> None:
        """Tell the caller the phase every few seconds (making room, loading, reading), for each
        may take minutes. The queue tells the position in it.
        """
        while True:
            await anyio.sleep(NOTE_SECONDS)
            if self._phase is not None:
                await exchange.note(self._phase)

    async def _answer(self, exchange: Exchange) -> None:
        try:
            target = await self._desk.target(self._call)
            await self._at_some_place(target, exchange)
        except GatewayError as error:
            self._failed(error.status, str(error))
            await exchange.fail(error)
        except Refusal as refusal:
            self._failed(refusal.status, refusal.message)
            await exchange.refuse(refusal, self._routing_headers())
        except (LLMError, BrokenStream) as error:
            self._failed(502, str(error))
            await exchange.fail(NoServer(f"{self._record.backend}: {error}"))
        except Exception as error:
            # A caller gets an answer whatever we did wrong; the log has the traceback.
            answer = answer_to(error)
            if not isinstance(answer, Away):
                logger.exception(
                    "request_broke api=%s model=%s", self._call.api.value, self._call.model
                )
            self._failed(answer.status, f"{answer}: {type(error).__name__}: {error}")
            await exchange.fail(answer)

    async def _at_some_place(self, target: Target, exchange: Exchange) -> None:
        call = self._call
        if target.persona is not None:
            call = call.with_persona(target.persona.system_prompt)
        waiting = {p.backend: self._interactive_slots.waiting(p.backend) for p in target.places}
        async with self._interactive_slots.first_slot() as first:
            places = await self._desk.in_order(target.places, waiting, first.take)
            await self._at_one_of(places[:MOST_PLACES], call, exchange, first)

    async def _at_one_of(
        self,
        places: Sequence[tuple[Place, bool]],
        call: Call,
        exchange: Exchange,
        first: FirstSlot,
    ) -> None:
        refusals = []
        for place, resident in places:
            try:
                await self._at(place, call, exchange, first, resident=resident)
            except BadCall as error:
                refusals.append(error)
            except LLMError as error:
                self._phase = None
                await self._count(place, error)
                if self._record.first_token_seconds is not None:
                    raise
                logger.warning(
                    "request_failed_over backend=%s model=%s error=%s",
                    place.backend, place.model, error,
                )  # fmt: skip
                self._record.error = f"{place.backend}: {error}"
            else:
                return
        if self._record.error is None and refusals:
            raise refusals[0]
        raise NoServer(f"no server could answer; {self._record.error}")

    async def _at(
        self, place: Place, call: Call, exchange: Exchange, first: FirstSlot, *, resident: bool
    ) -> None:
        self._record.backend, self._record.model = place.backend, place.model
        spec = self._desk.settings.backend(place.backend)
        assert spec is not None
        num_ctx = self._desk.num_ctx(place, call)
        keep_alive = self._desk.settings.ollama_keep_alive
        way = route(call, spec.kind, model=place.model, num_ctx=num_ctx, keep_alive=keep_alive)
        caller, note = self._record.caller, exchange.note_wait
        with self._desk.demand.request(
            place.backend, place.model, num_ctx or 0, resident=resident
        ) as request:
            if not resident:
                self._phase, asked_at = MAKING_ROOM, time.monotonic()
                await self._desk.demand.make_room(place.backend, place.model)
                self._record.queue_seconds += time.monotonic() - asked_at
                self._phase = None
            async with self._interactive_slots.slot(place, caller, note, first) as slot:
                self._record.queue_seconds += slot.waited_seconds
                self._phase = LOADING
                self._record.load_seconds = await self._desk.ensure_loaded(
                    place, num_ctx, resident=resident
                )
                if self._record.load_seconds > 0:
                    request.loaded(self._record.load_seconds)
                if resident or self._record.load_seconds > 0:
                    self._phase = READING
                self._on_first_byte = request.answered
                began = time.monotonic()
                tokens = await self._send_on(place, way, slot, exchange)
                self._record.load_seconds += await self._desk.loaded_inside(
                    place,
                    num_ctx,
                    reported_seconds=tokens.load_seconds,
                    call_seconds=time.monotonic() - began,
                )
                if self._record.load_seconds > 0:
                    request.loaded(self._record.load_seconds)
        self._desk.used(place, num_ctx)
        await self._count(place, None)

    async def _send_on(self, place: Place, way: Route, slot: Slot, exchange: Exchange) -> Tokens:
        settings = self._desk.settings
        weight = settings.heavy_model_timeout_multiplier if place.heavy else 1.0
        seconds = settings.llm_timeout_seconds * weight
        async with self._client.post(
            place.backend, way.path, way.body, first_byte_seconds=seconds
        ) as upstream:
            if self._call.stream:
                if way.path.startswith("/v1/") and upstream.is_object:
                    upstream = Upstream(upstream.response, as_events(await upstream.whole(seconds)))
                return await self._stream(upstream, way.reader(), slot, exchange)
            answer, tokens = way.whole(joined(await upstream.whole(seconds)))
            self._first_byte()
            self._count_tokens(tokens)
            self._record.status = 200
            headers = {"content-type": "application/json", **self._routing_headers()}
            await exchange.whole(200, answer, headers)
            return tokens

    async def _stream(
        self, upstream: Upstream, reader: StreamReader, slot: Slot, exchange: Exchange
    ) -> Tokens:
        first = reader.feed(upstream.first)
        self._first_byte()
        await exchange.begin_stream(self._routing_headers())
        await exchange.piece(first)
        async for chunk in upstream.rest(STALL_SECONDS):
            if slot.lost.is_set():
                raise errors.StreamBroken("the slot of this request was lost")
            data = reader.feed(chunk)
            if data:
                await exchange.piece(data)
            if reader.finished:
                break
        tokens = reader.tokens
        self._count_tokens(tokens)
        if not reader.finished:
            raise errors.TruncatedStream("the server's stream ended without its end mark")
        self._record.status = 200
        await exchange.end()
        await upstream.drain()
        return tokens

    def _count_tokens(self, tokens: Tokens) -> None:
        self._record.prompt_tokens = tokens.prompt
        self._record.completion_tokens = tokens.completion

    def _first_byte(self) -> None:
        self._phase = None
        self._on_first_byte()
        if self._record.first_token_seconds is None:
            self._record.first_token_seconds = round(time.monotonic() - self._began, 4)

    def _routing_headers(self) -> dict[str, str]:
        return {
            "x-kos-backend": self._record.backend or "",
            "x-kos-model": "".join(c if c.isprintable() else "?" for c in self._record.model or ""),
            "x-kos-queue-seconds": f"{self._record.queue_seconds:.3f}",
        }

    def _failed(self, status: int, message: str) -> None:
        self._record.status, self._record.error = status, message

    async def _count(self, place: Place, error: LLMError | None) -> None:
        """Tell the breakers of an answer (None) or a failure. The caller has its answer already, so
        an outage of Redis must not fail it."""

        def count() -> None:
            breakers, key = self._desk.breakers, (place.backend, place.model)
            breakers.succeeded(*key) if error is None else breakers.failed(*key, error)

        try:
            await anyio.to_thread.run_sync(count, abandon_on_cancel=True)
        except redis.RedisError as problem:
            logger.warning("call_not_counted backend=%s error=%s", place.backend, problem)


async def _until_hangup(receive: Receive, exchange: Exchange, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    # The HTTP server says the same of a complete response, whose call is still to be counted.
    if not exchange.ended:
        scope.cancel()


def _nothing() -> None:
    """Before a place is tried, nobody waits for a first byte."""
