"""One completion from arrival to last byte, as a list of steps."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, replace

from llm.simulator.activity import Activity, ActivityEntry
from llm.simulator.calls import CallError, SimulatedCall
from llm.simulator.delivery import Delivery
from llm.simulator.dialects import Dialect
from llm.simulator.engine import SimulatedEngine
from llm.simulator.faults import AT_ONCE, HARMLESS, LOAD_FAULTS, MODEL_PREFIX, Fault, FaultBook
from llm.simulator.http_connection import HttpExchange
from llm.simulator.pace import TokenPace, shared_rate
from llm.simulator.profiles import ModelProfile, ServerProfile
from llm.simulator.rate_limit import WINDOW_SECONDS, RateLimit
from llm.simulator.residents import (
    LoadFailedError,
    LoadOptions,
    LoadOrder,
    QueueFullError,
    SimulatedModel,
)
from llm.simulator.scripts import Script, compose
from llm.simulator.speakers import OllamaSpeaker, Reason, Speaker
from llm.wire.values import GenerationUsage

_FOREVER_SECONDS = 365 * 86_400.0
_STATUS_FAULTS = {
    "401": "unauthorized",
    "404": "model not found",
    "429": "rate limit exceeded",
    "500": "internal server error",
    "503": "server busy, please try again.  maximum pending requests exceeded",
}
_WITH_RETRY_AFTER = ("429", "503")
_HTML = b"<!doctype html><html><body><h1>Welcome to nginx!</h1></body></html>"


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationJob:
    """A call with all its state while it runs."""

    call: SimulatedCall
    exchange: HttpExchange
    speaker: Speaker
    entry: ActivityEntry
    fault: Fault | None


class Generator:
    """Serves completions with `engine`, applies `faults`, and records them in `activity`."""

    def __init__(
        self,
        profile: ServerProfile,
        *,
        dialect: Dialect,
        engine: SimulatedEngine,
        faults: FaultBook,
        activity: Activity,
        time_scale: float,
    ) -> None:
        self._profile = profile
        self._dialect = dialect
        self._engine = engine
        self._faults = faults
        self._activity = activity
        self._time_scale = time_scale
        self.rate_limit = RateLimit(
            profile.requests_per_minute, window_seconds=WINDOW_SECONDS / time_scale
        )
        self._models = {model.name: model for model in profile.models}

    async def serve(self, exchange: HttpExchange, call: SimulatedCall, speaker: Speaker) -> None:
        """Answer `call`. When the client disconnects, its work is cancelled at once."""
        entry = self._activity.arrive(
            endpoint=exchange.request.path,
            model=call.model,
            task_id=exchange.request.headers.get("x-task-id"),
            arrived_at=exchange.received_at,
        )
        fault = self._faults.pick(
            model=call.model,
            prompt=call.prompt,
            can_happen=lambda name: self._can_happen(name, call),
        )
        entry.fault = fault.name if fault is not None else None
        job = GenerationJob(call=call, exchange=exchange, speaker=speaker, entry=entry, fault=fault)
        outcome = "rejected"
        try:
            outcome = await self._run(job)
        except asyncio.CancelledError:
            outcome = "aborted"
            raise
        except CallError as error:
            self._reject(job, error)
        finally:
            self._activity.close(entry, outcome)

    def find_model(self, name: str) -> ModelProfile | None:
        """The model of that name, with or without `:latest`, or the substitute of
        `fault-<name>`."""
        found = self._models.get(name) or self._models.get(f"{name}:latest")
        if found is None and name.startswith(MODEL_PREFIX):
            found = ModelProfile(name=name, context_tokens=32768, decode_tokens_per_second=200.0)
        return found

    def _can_happen(self, fault_name: str, call: SimulatedCall) -> bool:
        """A rule must not be spent on a request that it cannot affect, such as a preload."""
        if fault_name in AT_ONCE:
            return True
        if fault_name not in LOAD_FAULTS:
            return call.purpose == "generate"
        model = self.find_model(call.model)
        if model is None or call.purpose == "unload":
            return False
        return self._engine.needs_load(model, self._options(call, model))

    async def _run(self, job: GenerationJob) -> str:
        seconds = self.rate_limit.admit(time.monotonic())
        if seconds:
            message = "rate limit exceeded: too many requests per minute"
            raise CallError(429, message, retry_after_seconds=math.ceil(seconds))
        if job.fault is not None and await self._apply_at_once(job, job.fault):
            return "harmed"
        model = self._model_for(job.call)
        if job.call.purpose == "unload":
            self._engine.unload(model)
            return self._mark(job, "unload")
        order = self._order(job.call, model=model, fault=job.fault)
        requested_at = time.monotonic()
        try:
            async with self._engine.bound(
                order, keep_alive_seconds=job.call.keep_alive_seconds
            ) as resident:
                job.entry.load_seconds = time.monotonic() - requested_at
                if job.call.purpose == "load":
                    return self._mark(job, "load")
                async with self._engine.slot(resident):
                    job.entry.started_at = time.time()
                    return await self._generate(job, resident)
        except QueueFullError as error:
            message = f"server busy, please try again.  {error}"
            raise CallError(503, message, retry_after_seconds=error.retry_after_seconds) from error
        except LoadFailedError as error:
            raise CallError(500, str(error)) from error

    async def _apply_at_once(self, job: GenerationJob, fault: Fault) -> bool:
        if fault.name in _STATUS_FAULTS:
            seconds = fault.retry_after_seconds if fault.name in _WITH_RETRY_AFTER else 0
            message = _STATUS_FAULTS[fault.name]
            raise CallError(int(fault.name), message, retry_after_seconds=seconds)
        if fault.name == "dead":
            await asyncio.sleep(_FOREVER_SECONDS)
        if fault.name == "wrong-content-type":
            job.exchange.respond(200, _HTML, content_type="text/html")
            return True
        return False

    def _model_for(self, call: SimulatedCall) -> ModelProfile:
        model = self.find_model(call.model)
        if model is None:
            raise CallError(404, self._dialect.no_model.format(call.model))
        if call.thinks and "thinking" not in model.capabilities:
            raise CallError(400, f'"{call.model}" does not support thinking')
        if call.images and "vision" not in model.capabilities:
            raise CallError(400, f'"{call.model}" does not support images')
        context = model.slot_context_tokens or model.context_tokens
        if not self._dialect.sized_by_call and call.prompt_tokens > context:
            message = f"This model's maximum context length is {context} tokens."
            raise CallError(400, f"{message} Your request has {call.prompt_tokens} input tokens.")
        return model

    def _order(self, call: SimulatedCall, *, model: ModelProfile, fault: Fault | None) -> LoadOrder:
        name = fault.name if fault is not None else ""
        factor = fault.factor if fault is not None and name == "slow-load" else 1.0
        broken = LoadFailedError("llama runner process has terminated: exit status 2")
        return LoadOrder(
            model,
            self._options(call, model),
            seconds=model.load_seconds * factor,
            error=broken if name == "load-failure" else None,
        )

    def _options(self, call: SimulatedCall, model: ModelProfile) -> LoadOptions:
        if not self._dialect.sized_by_call:
            return LoadOptions(model.context_tokens)
        wanted = call.context_tokens or self._profile.default_context_tokens
        others = call.load_options
        if self._profile.compares_requested_context:
            others = (*others, ("num_ctx", str(wanted)))
        return LoadOptions(min(wanted, model.context_tokens), others)

    def _mark(self, job: GenerationJob, reason: str) -> str:
        assert isinstance(job.speaker, OllamaSpeaker)
        body = job.speaker.marker("load" if reason == "load" else "unload")
        job.exchange.respond(200, body)
        job.entry.status = 200
        return "completed"

    async def _generate(self, job: GenerationJob, resident: SimulatedModel) -> str:
        script = compose(
            job.call,
            model=resident.model,
            profile=self._profile,
            context_tokens=resident.options.context_tokens,
            fault=job.fault,
        )
        job.entry.prompt_tokens = script.prompt_tokens
        delivery = Delivery(
            job.exchange, job.speaker, streams=job.call.stream, entry=job.entry, fault=job.fault
        )
        cache = resident.prefixes
        slot, cached = cache.take(job.call.segments) if cache is not None else (0, 0)
        job.entry.cached_tokens = min(cached, max(0, script.prompt_tokens - 1))
        try:
            prompt_seconds = await self._prefill(
                delivery, resident, script.prompt_tokens - job.entry.cached_tokens
            )
            started = time.monotonic()
            reason = await self._decode(delivery, resident, script)
        finally:
            if cache is not None:
                cache.give_back(slot)
        if delivery.is_broken:
            return "harmed"
        job.entry.load_seconds = max(job.entry.load_seconds, self._profile.warm_load_seconds)
        usage = _usage(job, started=started, prompt_seconds=prompt_seconds)
        if cache is not None and self._profile.reports_cached_tokens:
            usage = replace(usage, cached_tokens=job.entry.cached_tokens)
        await delivery.finish(reason, usage)
        is_harmed = job.fault is not None and job.fault.name not in HARMLESS
        return "harmed" if is_harmed else "completed"

    async def _prefill(self, delivery: Delivery, resident: SimulatedModel, tokens: int) -> float:
        started = time.monotonic()
        rate = resident.model.prefill_tokens_per_second * self._time_scale
        self._activity.occupy("prefill", 1)
        try:
            await delivery.begin()
            if rate and not delivery.is_broken:
                await asyncio.sleep(tokens / rate)
        finally:
            self._activity.occupy("prefill", -1)
        return time.monotonic() - started

    async def _decode(self, delivery: Delivery, resident: SimulatedModel, script: Script) -> Reason:
        self._activity.occupy("decode", 1)
        try:
            return (
                "stop" if delivery.is_broken else await delivery.send(script, self._pace(resident))
            )
        finally:
            self._activity.occupy("decode", -1)

    def _pace(self, resident: SimulatedModel) -> TokenPace:
        alone = resident.model.decode_tokens_per_second * self._time_scale
        sharing = self._profile.sharing
        if not sharing:
            return TokenPace(lambda: alone)
        return TokenPace(lambda: shared_rate(alone, streams=resident.active, sharing=sharing))

    def _reject(self, job: GenerationJob, error: CallError) -> None:
        job.entry.status = error.status
        if job.exchange.started:
            job.exchange.send(job.speaker.error_line(str(error)))
            job.exchange.end()
            return
        retry_after = error.retry_after_seconds
        headers = (("Retry-After", str(retry_after)),) if retry_after else ()
        body = job.speaker.error(str(error), status=error.status)
        job.exchange.respond(error.status, body, headers=headers)


def _usage(job: GenerationJob, *, started: float, prompt_seconds: float) -> GenerationUsage:
    return GenerationUsage(
        prompt_tokens=job.entry.prompt_tokens,
        completion_tokens=job.entry.completion_tokens,
        load_seconds=job.entry.load_seconds,
        prompt_seconds=prompt_seconds,
        completion_seconds=time.monotonic() - started,
        total_seconds=time.time() - job.entry.arrived_at,
    )
