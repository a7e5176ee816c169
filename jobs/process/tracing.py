"""OpenTelemetry traces of a task: submit, plan, run, model call. Needs the extra ``otel``.

The trace id of a task is its own id: every process knows it without passing anything along, and a
trace store lists a task under the id that ``kos show`` prints. Without the extra, or without an
endpoint (``OTEL_EXPORTER_OTLP_ENDPOINT``), a span costs nothing.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from uuid import UUID

from jobs.process.extras import install_command

logger = logging.getLogger(__name__)

SERVICE = "knowledge-os-jobs"
TRACES_PATH = "/v1/traces"
_LOW_BITS = (1 << 64) - 1


class Tracer:
    """Makes spans of tasks with an OpenTelemetry tracer."""

    def __init__(self, tracer: Any) -> None:
        self._tracer = tracer
        self._trace = importlib.import_module("opentelemetry.trace")

    @contextmanager
    def span(self, name: str, task_id: str, **attributes: Any) -> Iterator[None]:
        """A span in the trace of ``task_id``, child of the span that is open in this thread."""
        open_here = self._trace.get_current_span().get_span_context()
        trace_id = UUID(task_id).int
        context = None if open_here.trace_id == trace_id else self._root(trace_id)
        values = {key: value for key, value in attributes.items() if value is not None}
        with self._tracer.start_as_current_span(
            name, context=context, attributes={"task.id": task_id, **values}
        ):
            yield

    def _root(self, trace_id: int) -> Any:
        """A remote parent that represents the task: the same in every process."""
        parent = self._trace.SpanContext(
            trace_id=trace_id,
            span_id=(trace_id & _LOW_BITS) or 1,
            is_remote=True,
            trace_flags=self._trace.TraceFlags(self._trace.TraceFlags.SAMPLED),
        )
        return self._trace.set_span_in_context(self._trace.NonRecordingSpan(parent))


_tracer: Tracer | None = None


def configure(endpoint: str | None, *, program: str) -> None:
    """Export the spans of this process to ``endpoint`` (an OTLP/HTTP collector), if it is set."""
    if not endpoint:
        return
    try:
        sdk = importlib.import_module("opentelemetry.sdk.trace")
        export = importlib.import_module("opentelemetry.sdk.trace.export")
        otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        resources = importlib.import_module("opentelemetry.sdk.resources")
    except ImportError:
        logger.warning("traces_off: install the extra: %s", install_command("otel"))
        return
    resource = resources.Resource.create({"service.name": SERVICE, "service.instance.id": program})
    provider = sdk.TracerProvider(resource=resource)
    exporter = otlp.OTLPSpanExporter(endpoint=endpoint.rstrip("/") + TRACES_PATH)
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    use(Tracer(provider.get_tracer(SERVICE)))
    logger.info("traces_on endpoint=%s", endpoint)


def use(tracer: Tracer | None) -> None:
    """Create spans with ``tracer`` from now on; with None, spans do nothing."""
    global _tracer
    _tracer = tracer


def span(name: str, task_id: str, **attributes: Any) -> AbstractContextManager[None]:
    """A span of a task; does nothing where traces are off."""
    return nullcontext() if _tracer is None else _tracer.span(name, task_id, **attributes)
