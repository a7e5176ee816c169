"""Assembles the server: parts, routes, socket, life cycle."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import count

from llm.simulator import calls
from llm.simulator.activity import Activity
from llm.simulator.calls import CallError, SimulatedCall
from llm.simulator.control import Control
from llm.simulator.dialects import DIALECTS
from llm.simulator.engine import SimulatedEngine
from llm.simulator.faults import FAULTS, MODEL_PREFIX, FaultBook
from llm.simulator.generation import Generator
from llm.simulator.http_connection import HttpExchange
from llm.simulator.http_request import HttpRequest
from llm.simulator.listening_socket import Listener
from llm.simulator.profiles import Kind, ModelProfile, ServerProfile
from llm.simulator.reports import health, llama_server_models, vllm_metrics
from llm.simulator.residents import LoadOptions, SimulatedModel
from llm.simulator.speakers import OllamaSpeaker, OpenAISpeaker, Speaker
from llm.types import BackendKind
from llm.wire import ollama, openai
from llm.wire.values import JsonObject, ModelCard, dump

_FOREVER = timedelta(days=365 * 292)  # Go's longest duration, Ollama's "for ever"
_OPEN_PATHS = ("/_sim/", "/health", "/ready", "/metrics")

Route = Callable[[HttpExchange], Awaitable[None]]


class Simulator:
    """A model server of `kind` on `host` and `port` (0 picks a free one)."""

    def __init__(
        self,
        profile: ServerProfile,
        *,
        kind: Kind,
        host: str = "127.0.0.1",
        port: int = 0,
        time_scale: float = 1.0,
        seed: int = 0,
        lists_faults: bool = False,
    ) -> None:
        self._profile = profile
        self._kind = kind
        self._dialect = DIALECTS[BackendKind(kind)]
        self._time_scale = time_scale
        self._lists_faults = lists_faults
        self._completion_numbers = count(1)
        self.activity = Activity()
        self.faults = FaultBook(seed=seed)
        self.engine = SimulatedEngine(profile, self.activity, time_scale=time_scale)
        self.listener = Listener(self._handle, host=host, port=port)
        self._generator = Generator(
            profile,
            dialect=self._dialect,
            engine=self.engine,
            faults=self.faults,
            activity=self.activity,
            time_scale=time_scale,
        )
        self._control = Control(self, listener=self.listener)
        self._routes = self._build_routes()

    async def start(self) -> str:
        """Listen; returns the URL."""
        self._load_start_models()
        await self.listener.open()
        return self.listener.url

    async def stop(self) -> None:
        """Close the socket and every connection."""
        await self.listener.close()

    def describe(self) -> JsonObject:
        """Kind, time scale and profile, for callers who compute the expected behaviour."""
        profile = dataclasses.asdict(self._profile) | {"api_key": bool(self._profile.api_key)}
        return {"kind": self._kind, "time_scale": self._time_scale, "profile": profile}

    def start_over(self) -> None:
        """Remove faults and idle models except those resident at the start; reset the counters."""
        self.faults.clear()
        self._generator.rate_limit.clear()
        self.engine.unload_idle()
        self._load_start_models()
        self.activity.reset()

    def _load_start_models(self) -> None:
        if self._profile.resident_at_start:
            for model in self._profile.models:
                self.engine.make_resident(model, LoadOptions(model.context_tokens))

    async def _handle(self, exchange: HttpExchange) -> None:
        request = exchange.request
        method = "GET" if request.method == "HEAD" else request.method
        route = self._routes.get((method, request.path)) or self._control.route(request)
        if route is None:
            route = self._model_route(request.path) if method == "GET" else None
        if route is None:
            known = any(path == request.path for _, path in self._routes)
            status = 405 if known else 404
            exchange.respond(status, dump({"error": "404 page not found"}))
            return
        try:
            self._authorize(request)
            await route(exchange)
        except CallError as error:
            exchange.respond(error.status, _error_body(request.path, error))
        except Exception:  # noqa: BLE001 outermost handler: a bug is a 500 and is printed
            traceback.print_exc()
            if not exchange.started:
                exchange.respond(500, dump(ollama.error("the simulator failed; see its log")))

    def _authorize(self, request: HttpRequest) -> None:
        key, is_open = self._profile.api_key, request.path.startswith(_OPEN_PATHS)
        if key and not is_open and request.headers.get("authorization") != f"Bearer {key}":
            raise CallError(401, "Unauthorized")

    def _build_routes(self) -> dict[tuple[str, str], Route]:
        routes: dict[tuple[str, str], Route] = {
            ("GET", "/v1/models"): self._list_models,
            ("POST", "/v1/chat/completions"): self._openai_chat,
        }
        if self._dialect.ollama_paths:
            routes |= {
                ("GET", "/"): self._root,
                ("GET", "/api/version"): self._version,
                ("GET", "/api/tags"): self._tags,
                ("GET", "/api/ps"): self._ps,
                ("POST", "/api/show"): self._show,
                ("POST", "/api/generate"): self._ollama_generate,
                ("POST", "/api/chat"): self._ollama_chat,
            }
        if self._dialect.health != "absent":
            routes |= {("GET", "/health"): self._health, ("GET", "/metrics"): self._metrics}
        if self._dialect.health == "figures":
            routes["GET", "/ready"] = self._health
        if not self._dialect.ollama_paths:
            routes["GET", "/version"] = self._version
        if self._profile.lists_as == "llama-server":
            routes["GET", "/props"] = self._props
        return routes

    async def _root(self, exchange: HttpExchange) -> None:
        exchange.respond(200, ollama.ROOT_TEXT.encode(), content_type="text/plain; charset=utf-8")

    async def _version(self, exchange: HttpExchange) -> None:
        exchange.respond(200, dump(ollama.version(self._profile.version)))

    async def _tags(self, exchange: HttpExchange) -> None:
        exchange.respond(200, dump(ollama.tags(self._cards())))

    async def _ps(self, exchange: HttpExchange) -> None:
        loaded = [one for one in self.engine.residents if not one.is_loading]
        exchange.respond(200, dump(ollama.ps(self._ps_entry(one) for one in loaded)))

    async def _show(self, exchange: HttpExchange) -> None:
        model = self._generator.find_model(calls.model_name(exchange.request.body))
        if model is None:
            raise CallError(404, "model not found")
        exchange.respond(200, dump(ollama.show(self._card(model))))

    async def _list_models(self, exchange: HttpExchange) -> None:
        if self._profile.lists_as == "llama-server":
            exchange.respond(200, dump(llama_server_models(self.engine, self._profile)))
            return
        exchange.respond(200, dump(openai.models(self._cards(), owned_by=self._dialect.owner)))

    async def _props(self, exchange: HttpExchange) -> None:
        exchange.respond(200, dump({"total_slots": self._profile.slots}))

    def _model_route(self, path: str) -> Route | None:
        prefix = "/v1/models/"
        model = self._generator.find_model(path[len(prefix) :]) if path.startswith(prefix) else None
        if model is None:
            return None
        body = dump(openai.model(self._card(model), owned_by=self._dialect.owner))

        async def answer(exchange: HttpExchange) -> None:
            exchange.respond(200, body)

        return answer

    async def _health(self, exchange: HttpExchange) -> None:
        with_figures = self._dialect.health == "figures"
        body = dump(health(self.engine, self._profile)) if with_figures else b""
        exchange.respond(200, body)

    async def _metrics(self, exchange: HttpExchange) -> None:
        text = vllm_metrics(self.engine, self._profile, self.activity)
        exchange.respond(200, text.encode(), content_type="text/plain; version=0.0.4")

    async def _ollama_generate(self, exchange: HttpExchange) -> None:
        await self._ollama(exchange, calls.ollama_generate(exchange.request.body), is_chat=False)

    async def _ollama_chat(self, exchange: HttpExchange) -> None:
        await self._ollama(exchange, calls.ollama_chat(exchange.request.body), is_chat=True)

    async def _ollama(self, exchange: HttpExchange, call: SimulatedCall, *, is_chat: bool) -> None:
        speaker: Speaker = OllamaSpeaker(call.model, is_chat=is_chat)
        await self._generator.serve(exchange, call, speaker)

    async def _openai_chat(self, exchange: HttpExchange) -> None:
        call = calls.openai_chat(exchange.request.body)
        speaker: Speaker = OpenAISpeaker(
            call.model,
            completion_id=f"chatcmpl-{next(self._completion_numbers):012x}",
            with_usage=call.with_usage,
            reasoning_field=self._dialect.reasoning_field,
        )
        await self._generator.serve(exchange, call, speaker)

    def _cards(self) -> list[ModelCard]:
        cards = [self._card(model) for model in self._profile.models]
        if self._lists_faults:
            names = [f"{MODEL_PREFIX}{name}" for name in FAULTS if name != "refuse"]
            cards += [self._card(ModelProfile(name=name)) for name in names]
        return cards

    def _card(self, model: ModelProfile) -> ModelCard:
        return model.card(format_name=self._profile.format)

    def _ps_entry(self, resident: SimulatedModel) -> JsonObject:
        now = datetime.now(UTC)
        keep_alive = resident.keep_alive_seconds / self._time_scale
        expires_at = now + (_FOREVER if math.isinf(keep_alive) else timedelta(seconds=keep_alive))
        if resident.expiry is not None:
            left = resident.expiry.when() - asyncio.get_running_loop().time()
            expires_at = now + timedelta(seconds=left)
        return ollama.ps_entry(
            self._card(resident.model),
            expires_at=expires_at,
            context_tokens=resident.options.context_tokens,
            active_requests=resident.active if self._dialect.counts_active else None,
        )


def _error_body(path: str, error: CallError) -> bytes:
    if path.startswith("/v1/"):
        kind = "invalid_request_error"
        return dump(openai.error(str(error), kind=kind, code=error.status))
    return dump(ollama.error(str(error)))
