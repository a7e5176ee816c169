"""Scans all configured servers: each gives its models or its error.

A scan is cached for a while, shared by processes, and repeated on demand, as when a 404 contradicts
it. Models found broken stay quarantined with the reason over several scans.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from llm import errors
from llm.backends.base import BackendAdapter
from llm.backends.registry import Backends
from llm.catalog import Catalog, classify, load_catalog, rank
from llm.kinds import traits_of
from llm.quarantine import QuarantinedModels
from llm.scan_cache import CachedScan, MemoryScanCache, ScanCache
from llm.types import (
    BackendSpec,
    Category,
    ModelInfo,
    ResidentModel,
    Scan,
    ScannedModel,
    ServerScan,
)

FRESH_SECONDS = 120.0
SCAN_SECONDS = 15.0
DESCRIBE_SECONDS = 5.0
WARN_EVERY_SECONDS = 300.0
KEPT_SECONDS = 3600.0

LAST_SECONDS = 1.0

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_UNREAD: tuple[float, Scan | None] = (float("-inf"), None)

logger = logging.getLogger(__name__)


class Scanner:
    """Scans the servers of ``backends``. Threads may share it.

    A scan is valid for ``fresh_seconds``; ``memory_bytes`` is the model memory of each server, by
    name.
    """

    def __init__(
        self,
        backends: Backends,
        *,
        cache: ScanCache | None = None,
        catalog: Catalog | None = None,
        fresh_seconds: float = FRESH_SECONDS,
        memory_bytes: Mapping[str, int] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._backends = backends
        self._cache = cache or MemoryScanCache()
        self._catalog = catalog or load_catalog()
        self._fresh_seconds = fresh_seconds
        self._memory_bytes = memory_bytes or {}
        self._clock = clock
        self._one_at_a_time = threading.Lock()
        self._described: dict[tuple[str, ModelInfo], ModelInfo] = {}
        self._warned_at: dict[str, datetime] = {}
        self._parsed: tuple[str, CachedScan | None] = ("", None)
        self._last: tuple[float, Scan | None] = _UNREAD

    def scan(self, *, refresh: bool = False) -> Scan:
        """Models or error of every server, at most ``fresh_seconds`` old.

        ``refresh`` queries the servers now; concurrent callers share one result.
        """
        requested_at = self._clock()
        if not refresh:
            cached = self._cached()
            if cached is not None and self._is_fresh(cached.scan):
                return cached.scan
        with self._one_at_a_time:
            cached = self._cached()
            if cached is not None and self._is_fresh(
                cached.scan, since=requested_at if refresh else None
            ):
                return cached.scan
            return self._scan_now()

    def last(self) -> Scan | None:
        """The newest scan of any age, without querying a server; None before the first. One from
        another process is seen within :data:`LAST_SECONDS`."""
        read_at, scan = self._last
        if time.monotonic() - read_at >= LAST_SECONDS:
            cached = self._cached()
            scan = None if cached is None or cached.scan.at == _NEVER else cached.scan
            self._last = (time.monotonic(), scan)
        return scan

    def read_again(self) -> None:
        """What :meth:`last` read may be out of date: another process has scanned since."""
        self._last = _UNREAD

    def is_heavy(self, backend: str, model: str) -> bool:
        """Whether the newest scan classed this model as heavy; False for an unknown one."""
        scan = self.last()
        server = scan.server(backend) if scan is not None else None
        known = server.model(model) if server is not None else None
        return known is not None and known.heavy

    def residents(self, name: str) -> tuple[ResidentModel, ...]:
        """The models that server ``name`` holds in memory now; raises `LLMError`s."""
        return self._backends.get(name).resident_models()

    def quarantine(self, backend: str, model: str, reason: str, *, seconds: float = 1800.0) -> None:
        """Exclude a model from selection for a while, as after a failed canary or load."""
        until = self._clock() + timedelta(seconds=seconds)
        logger.warning("model_set_aside backend=%s model=%s reason=%s", backend, model, reason)
        with self._one_at_a_time:
            cached = self._cached()
            if cached is None:
                cached = CachedScan(Scan(at=_NEVER, servers=()), QuarantinedModels())
            quarantined = cached.quarantined.adding(backend, model, reason, until=until)
            self._store(
                replace(cached, quarantined=quarantined, scan=quarantined.applied(cached.scan))
            )

    def _scan_now(self) -> Scan:
        now = self._clock()
        fresh = Scan(at=now, servers=self._servers(now))
        # Read only now: another process may have quarantined a model during the scan.
        cached = self._cached()
        quarantined = (cached.quarantined if cached else QuarantinedModels()).lasting(now)
        scan = quarantined.applied(fresh)
        self._store(CachedScan(scan, quarantined))
        for server in scan.servers:
            self._warn_of(server, now)
        return scan

    def _servers(self, now: datetime) -> tuple[ServerScan, ...]:
        specs = self._backends.specs
        if not specs:
            return ()
        pool = ThreadPoolExecutor(max_workers=len(specs), thread_name_prefix="llm-scan")
        running = [pool.submit(self._server, spec, now) for spec in specs]
        wait(running, timeout=SCAN_SECONDS)
        pool.shutdown(wait=False, cancel_futures=True)
        return tuple(
            _result(future, spec, now) for future, spec in zip(running, specs, strict=True)
        )

    def _server(self, spec: BackendSpec, now: datetime) -> ServerScan:
        backend = self._backends.get(spec.name)
        try:
            listed = backend.list_models()
            resident = backend.resident_models()
        except errors.LLMError as exc:
            return _failed(spec, f"{exc.code}: {exc}", now)
        models = self._classed(backend, listed)
        ranking = rank(models, chosen=spec.models_by_category)
        return ServerScan(
            backend=spec.name,
            kind=spec.kind,
            models=_ordered(models, ranking[Category.DEFAULT]),
            resident=resident,
            scanned_at=now,
            ranking=ranking,
        )

    def _classed(
        self, backend: BackendAdapter, listed: tuple[ModelInfo, ...]
    ) -> list[ScannedModel]:
        """Each model described as far as the time allows; who cannot be described is broken."""
        until = time.monotonic() + DESCRIBE_SECONDS
        chosen = backend.spec.models_by_category
        models = []
        for info in listed:
            broken: str | None = None
            if time.monotonic() < until:
                try:
                    info = self._describe(backend, info)
                except errors.LLMError as exc:
                    broken = f"{exc.code}: {exc}"
            models.append(
                classify(
                    info,
                    catalog=self._catalog,
                    chosen=chosen,
                    broken=broken,
                    memory_bytes=self._memory_bytes.get(backend.name),
                )
            )
        return models

    def _describe(self, backend: BackendAdapter, info: ModelInfo) -> ModelInfo:
        key = (backend.name, info)
        if key not in self._described:
            self._described[key] = backend.describe(info)
        return self._described[key]

    def _cached(self) -> CachedScan | None:
        text = self._cache.read()
        if not text:
            return None
        read, cached = self._parsed
        if text != read:
            cached = self._of_configured(CachedScan.loads(text))
            self._parsed = (text, cached)
        return cached

    def _of_configured(self, cached: CachedScan | None) -> CachedScan | None:
        """A kept scan may be older than the settings, and name servers that are configured no
        longer. One without any that still is counts as none."""
        if cached is None:
            return None
        names = {spec.name for spec in self._backends.specs}
        servers = tuple(server for server in cached.scan.servers if server.backend in names)
        at = cached.scan.at if servers or not names else _NEVER
        return replace(cached, scan=Scan(at=at, servers=servers))

    def _store(self, cached: CachedScan) -> None:
        self._cache.write(cached.dumps(), max(KEPT_SECONDS, self._fresh_seconds))
        self._last = _UNREAD

    def _is_fresh(self, scan: Scan, *, since: datetime | None = None) -> bool:
        if since is not None:
            return scan.at >= since
        return scan.at > self._clock() - timedelta(seconds=self._fresh_seconds)

    def _warn_of(self, server: ServerScan, now: datetime) -> None:
        """Log a missing server and how to start it, once in five minutes."""
        if server.error is None:
            self._warned_at.pop(server.backend, None)
            return
        last = self._warned_at.get(server.backend)
        if last is not None and now - last < timedelta(seconds=WARN_EVERY_SECONDS):
            return
        self._warned_at[server.backend] = now
        logger.warning(
            "backend_unreachable backend=%s error=%s: %s",
            server.backend,
            server.error,
            traits_of(server.kind).start,
        )


def _result(future: Future[ServerScan], spec: BackendSpec, now: datetime) -> ServerScan:
    if not future.done():
        return _failed(spec, f"timeout: no answer within {SCAN_SECONDS:g} s", now)
    return future.result()


def _failed(spec: BackendSpec, error: str, now: datetime) -> ServerScan:
    return ServerScan(backend=spec.name, kind=spec.kind, models=None, error=error, scanned_at=now)


def _ordered(models: list[ScannedModel], names: tuple[str, ...]) -> tuple[ScannedModel, ...]:
    places = {name: place for place, name in enumerate(names)}
    return tuple(sorted(models, key=lambda model: places.get(model.name, len(places))))
