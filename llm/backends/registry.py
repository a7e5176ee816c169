"""Builds and keeps the adapters, by backend name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from llm.backends.base import BackendAdapter
from llm.backends.mlx import MlxBackend
from llm.backends.ollama import OllamaBackend
from llm.backends.openai import OpenAIBackend
from llm.types import BackendKind, BackendSpec

ADAPTERS: Mapping[BackendKind, Callable[..., BackendAdapter]] = {
    BackendKind.OLLAMA: OllamaBackend,
    BackendKind.MLX: MlxBackend,
    BackendKind.OPENAI: OpenAIBackend,
}


class UnknownBackend(KeyError):
    """No backend of that name is configured."""

    def __str__(self) -> str:
        return str(self.args[0])


def build(spec: BackendSpec, *, environ: Mapping[str, str]) -> BackendAdapter:
    """Build the adapter of ``spec``.

    Its API key and the file of trusted certificates are read from ``environ`` here and nowhere
    else. The certificate variables are those of requests and OpenSSL.
    """
    api_key = environ.get(spec.api_key_env, "").strip() or None if spec.api_key_env else None
    ca_bundle = environ.get("REQUESTS_CA_BUNDLE") or environ.get("SSL_CERT_FILE")
    return ADAPTERS[spec.kind](spec, api_key=api_key, ca_bundle=ca_bundle)


class Backends:
    """The adapters of the configured servers, each built at first use. Threads may share it."""

    def __init__(self, specs: Iterable[BackendSpec], *, environ: Mapping[str, str]) -> None:
        self.specs = tuple(specs)
        self._by_name = {spec.name: spec for spec in self.specs}
        if len(self._by_name) != len(self.specs):
            raise ValueError("two backends have the same name: give each a name of its own")
        self._environ = environ
        self._lock = threading.Lock()
        self._built: dict[str, BackendAdapter] = {}

    def get(self, name: str) -> BackendAdapter:
        """The adapter of ``name``; raises UnknownBackend."""
        spec = self._by_name.get(name)
        if spec is None:
            known = ", ".join(self._by_name) or "none"
            raise UnknownBackend(f"no backend is named {name!r}; configured: {known}")
        with self._lock:
            if name not in self._built:
                self._built[name] = build(spec, environ=self._environ)
            return self._built[name]

    def close(self) -> None:
        """Close every idle connection. A later `get` builds adapters again."""
        with self._lock:
            built, self._built = self._built, {}
        for backend in built.values():
            backend.close()
