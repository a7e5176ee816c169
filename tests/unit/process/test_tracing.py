"""Spans of a task share a trace that every process finds by the task's id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from jobs.process import tracing

TASK = "6a7e2ad4-5a55-4c35-9d50-8f7b5b1f0c11"


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(tracing.Tracer(provider.get_tracer("test")))
    yield exporter
    tracing.use(None)


def test_spans_of_one_task_are_one_trace_named_by_its_id(exported: InMemorySpanExporter) -> None:
    with tracing.span("dispatch", TASK, backend="ollama"):
        pass
    with tracing.span("run", TASK), tracing.span("model call", TASK, step="answer"):
        pass

    spans: dict[str, Any] = {span.name: span for span in exported.get_finished_spans()}
    assert {span.context.trace_id for span in spans.values()} == {UUID(TASK).int}
    assert spans["model call"].parent.span_id == spans["run"].context.span_id
    assert spans["dispatch"].parent.span_id == spans["run"].parent.span_id
    assert spans["dispatch"].attributes["backend"] == "ollama"


def test_without_a_tracer_a_span_is_nothing() -> None:
    with tracing.span("run", TASK):
        pass


def test_an_endpoint_turns_traces_on_and_none_leaves_them_off() -> None:
    tracing.configure(None, program="test")
    assert tracing._tracer is None

    tracing.configure("http://127.0.0.1:9", program="test")
    assert tracing._tracer is not None
    tracing.use(None)
