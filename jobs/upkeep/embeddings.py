"""Completes ``knowledge_nodes`` of another system (``KOS_COMPAT``): adds vectors and lost answers.

A worker inserts its answer as plain text, which is cheap. The vectors are added here, independently
of any task, if a model server provides vectors of the column's size.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import peewee

from jobs.policy.knowledge_os import Compat, node_content
from jobs.settings.load import Settings
from llm.backends.registry import Backends
from llm.errors import LLMError
from llm.kinds import TRAITS
from llm.scanner import Scanner
from llm.types import ScannedModel
from models import knowledge_node
from models.bounded_connection import statement_limit
from models.database import session
from models.knowledge_node import NodeText

logger = logging.getLogger(__name__)

NODES = 16
NODE_CHARS = 6000
"""Enough for the 2,048 tokens that embedding models read; OpenAI's servers refuse longer texts."""
EMBED_SECONDS = 60.0
STATEMENT_SECONDS = 30.0


@dataclass(slots=True)
class Embeddings:
    """``run`` may be called at any time; failures are logged and retried in the next round."""

    settings: Settings
    backends: Backends
    scanner: Scanner
    _unfit: set[tuple[str, str]] = field(default_factory=set)

    def run(self) -> int:
        """One round; returns how many nodes got a vector."""
        if self.settings.compat is not Compat.KNOWLEDGE_OS:
            return 0
        try:
            with statement_limit(STATEMENT_SECONDS), session():
                _store_lost()
                size = knowledge_node.vector_size()
                nodes = knowledge_node.without_vector(limit=NODES) if size else []
        except peewee.DatabaseError as error:
            logger.warning("knowledge_not_completed error=%s", error)
            return 0
        return self._embed(nodes, size) if nodes and size else 0

    def _embed(self, nodes: list[NodeText], size: int) -> int:
        texts = [node.content[:NODE_CHARS] for node in nodes]
        for backend, model in self._models():
            try:
                vectors = self.backends.get(backend).embed(model, texts, seconds=EMBED_SECONDS)
            except LLMError as error:
                logger.warning("not_embedded backend=%s model=%s error=%s", backend, model, error)
                continue
            if len(vectors) != len(nodes) or any(len(vector) != size for vector in vectors):
                logger.warning("vectors_unfit backend=%s model=%s wanted=%d", backend, model, size)
                self._unfit.add((backend, model))
                continue
            return _store(nodes, vectors)
        return 0

    def _models(self) -> Iterator[tuple[str, str]]:
        scan = self.scanner.scan()
        for server in scan.servers:
            for model in server.models or ():
                place = server.backend, model.name
                if TRAITS[server.kind].embeds and _embeds(model) and place not in self._unfit:
                    yield place


def _embeds(model: ScannedModel) -> bool:
    """By the server's report, else by the model's name."""
    capabilities = model.info.capabilities
    return "embedding" in capabilities or (not capabilities and "embed" in model.name.lower())


def _store_lost() -> None:
    for row in knowledge_node.lost(limit=NODES):
        content = node_content(row.expert, row.title, row.result)
        knowledge_node.keep(row.id, content, expert=row.expert, department=row.department)


def _store(nodes: list[NodeText], vectors: list[list[float]]) -> int:
    try:
        with statement_limit(STATEMENT_SECONDS), session():
            for node, vector in zip(nodes, vectors, strict=True):
                knowledge_node.set_vector(node.id, vector)
    except peewee.DatabaseError as error:
        logger.warning("vectors_not_stored error=%s", error)
        return 0
    return len(nodes)
