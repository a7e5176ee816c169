"""/health: is it alive; /ready: does it accept work; /metrics: figures for Prometheus."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from llm.mlx_server.engine_view import EngineView, ResidentView
from llm.mlx_server.readiness import Readiness
from llm.mlx_server.responses import json_response
from llm.mlx_server.service import MlxService


class StatusRoutes:
    def __init__(self, service: MlxService, readiness: Readiness) -> None:
        self._service = service
        self._readiness = readiness

    def routes(self) -> list[Route]:
        return [
            Route("/health", self.health),
            Route("/ready", self.ready),
            Route("/metrics", self.metrics),
        ]

    async def health(self, request: Request) -> Response:
        """200 while generation works, 503 when the engine is dead or stalled."""
        status = self._readiness.health()
        body = self._body(status.text)
        return json_response(body, status=200 if status.good else 503)

    async def ready(self, request: Request) -> Response:
        """200 when a new request would be accepted, else 503 with the reason."""
        status = self._readiness.ready()
        return json_response({"status": status.text}, status=200 if status.good else 503)

    async def metrics(self, request: Request) -> Response:
        return Response(self._service.metrics.page(), media_type=CONTENT_TYPE_LATEST)

    def _body(self, status: str) -> dict[str, Any]:
        view = self._service.engine.view
        inside = self._service.request_limit.inside
        return {
            "status": status,
            "active_requests": view.active,
            "max_concurrent": self._service.settings.max_concurrent,
            "queue_size": max(0, inside - view.active),
            "max_queue": self._service.settings.max_queue,
            "loading_models": [view.loading] if view.loading else [],
            "models": [_model(resident) for resident in view.residents],
            "memory": _memory(view),
            "tokens_per_second": round(view.tokens_per_second, 1),
            "last_token_at": _time(view.last_token_at),
            "still_seconds": round(self._readiness.still_seconds, 3),
            "totals": asdict(view.totals),
        }


def _model(resident: ResidentView) -> dict[str, Any]:
    return {
        "name": resident.name,
        "active_requests": resident.active,
        "queued_requests": resident.waiting,
        "size_bytes": resident.size_bytes,
        "prefix_cache_bytes": resident.prefix_cache_bytes,
        "batched": resident.batched,
    }


def _memory(view: EngineView) -> dict[str, Any]:
    if view.memory is None:
        return {}
    return {**asdict(view.memory), "pressure": view.memory.pressure}


def _time(unix_seconds: float | None) -> str | None:
    return None if unix_seconds is None else datetime.fromtimestamp(unix_seconds, UTC).isoformat()
