"""Prometheus metrics: counters of the HTTP side, and the engine's view at scrape time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from llm.mlx_server.engine_view import EngineView
from llm.mlx_server.errors import ServerError
from llm.mlx_server.job import Finished
from llm.mlx_server.request_limit import RequestLimit

SECONDS_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class ServerMetrics:
    """One registry per server, so that tests can run several."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "mlx_requests",
            "Requests by model and outcome",
            ["model", "outcome"],
            registry=self._registry,
        )
        self._prompt_tokens = Counter(
            "mlx_prompt_tokens", "Prompt tokens by model", ["model"], registry=self._registry
        )
        self._cached_tokens = Counter(
            "mlx_prompt_tokens_cached",
            "Prompt tokens taken from the prefix cache",
            ["model"],
            registry=self._registry,
        )
        self._first_token = self._histogram("mlx_first_token_seconds", "Arrival to first token")
        self._queue = self._histogram("mlx_queue_seconds", "Arrival to admission, load apart")
        self._total = self._histogram("mlx_request_seconds", "Arrival to last token")

    def finished(self, model: str, end: Finished) -> None:
        self._requests.labels(model, end.reason).inc()
        self._prompt_tokens.labels(model).inc(end.prompt_tokens)
        self._cached_tokens.labels(model).inc(end.cached_tokens)
        self._first_token.labels(model).observe(end.total_seconds - end.completion_seconds)
        self._queue.labels(model).observe(end.queue_seconds)
        self._total.labels(model).observe(end.total_seconds)

    def failed(self, model: str, error: ServerError) -> None:
        self._requests.labels(model, f"error_{error.status}").inc()

    def cancelled(self, model: str) -> None:
        self._requests.labels(model, "cancelled").inc()

    def watch(self, view: Callable[[], EngineView], request_limit: RequestLimit) -> None:
        """Read the engine's view and the counts of accepted requests at every scrape."""
        self._registry.register(_EngineCollector(view, request_limit))

    def page(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self._registry)

    def _histogram(self, name: str, documentation: str) -> Histogram:
        return Histogram(
            name, documentation, ["model"], buckets=SECONDS_BUCKETS, registry=self._registry
        )


class _EngineCollector(Collector):
    def __init__(self, view: Callable[[], EngineView], request_limit: RequestLimit) -> None:
        self._view = view
        self._request_limit = request_limit

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        view = self._view()
        yield from self._counters(view)
        yield from self._gauges(view)
        yield from _per_model(view)

    def _counters(self, view: EngineView) -> Iterator[CounterMetricFamily]:
        totals = view.totals
        counts = {
            "mlx_generated_tokens": ("Tokens generated", totals.generated_tokens),
            "mlx_model_loads": ("Models loaded", totals.loads),
            "mlx_model_load_failures": ("Loads that failed", totals.load_failures),
            "mlx_model_evictions": ("Models evicted", totals.evictions),
            "mlx_broken_batches": ("Batches lost to an exception", totals.broken_batches),
            "mlx_refused_requests": ("Requests refused when full", self._request_limit.refused),
        }
        for name, (documentation, value) in counts.items():
            yield CounterMetricFamily(name, documentation, value=value)

    def _gauges(self, view: EngineView) -> Iterator[GaugeMetricFamily]:
        gauges: dict[str, tuple[str, float]] = {
            "mlx_active_requests": ("Requests being decoded", view.active),
            "mlx_queued_requests": (
                "Requests inside that are not being decoded",
                max(0, self._request_limit.inside - view.active),
            ),
            "mlx_tokens_per_second": ("Tokens per second, last seconds", view.tokens_per_second),
        }
        if (memory := view.memory) is not None:
            gauges["mlx_memory_active_bytes"] = ("Memory in use", memory.active_bytes)
            gauges["mlx_memory_cached_bytes"] = ("Freed buffers kept", memory.cached_bytes)
            gauges["mlx_memory_peak_bytes"] = ("Highest use so far", memory.peak_bytes)
            gauges["mlx_memory_limit_bytes"] = ("The limit", memory.limit_bytes)
        for name, (documentation, value) in gauges.items():
            yield GaugeMetricFamily(name, documentation, value=value)


def _per_model(view: EngineView) -> Iterator[GaugeMetricFamily]:
    active = GaugeMetricFamily("mlx_model_active_requests", "By model", labels=["model"])
    size = GaugeMetricFamily("mlx_model_bytes", "Weights in memory, by model", labels=["model"])
    for resident in view.residents:
        active.add_metric([resident.name], resident.active)
        size.add_metric([resident.name], resident.size_bytes)
    yield active
    yield size
