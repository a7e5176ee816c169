"""Knowledge of another system (``KOS_COMPAT``): read for a prompt, extended by an answer.

The table is foreign, so a failure here is logged and never affects the task.
"""

from __future__ import annotations

import logging

import peewee

from jobs.policy.knowledge_os import Compat, KnowledgeNode, node_content, sources
from jobs.settings.load import Settings
from models import decision, knowledge_node
from models.base import value_of
from models.bounded_connection import statement_limit
from models.database import DatabaseUnavailable, session
from models.decision import NewDecision
from models.task import Claimed

logger = logging.getLogger(__name__)

NODES = 5
PATIENCE_SECONDS = 2.0
"""For a statement on a table that may be large, locked or without an index."""


def best_for(claimed: Claimed, settings: Settings) -> tuple[KnowledgeNode, ...]:
    """The most trusted nodes of the task's domain; they are recorded in the task's decisions."""
    if settings.compat is not Compat.KNOWLEDGE_OS:
        return ()
    try:
        with statement_limit(PATIENCE_SECONDS), session():
            rows = knowledge_node.best(claimed.id, limit=NODES)
    except (peewee.DatabaseError, DatabaseUnavailable) as error:
        logger.warning("knowledge_not_read task=%s error=%s", claimed.id, error)
        return ()
    nodes = tuple(value_of(KnowledgeNode, row) for row in rows)
    if nodes:
        with session():
            decision.record([NewDecision(claimed.id, "route", None, sources(nodes))])
    return nodes


def keep(claimed: Claimed, answer: str, settings: Settings) -> None:
    """Insert the answer of a completed task. If this fails, ``upkeep.embeddings`` inserts it
    later."""
    if settings.compat is not Compat.KNOWLEDGE_OS:
        return
    row = claimed.row
    content = node_content(row.expert_name, row.title or "", answer)
    try:
        with statement_limit(PATIENCE_SECONDS), session():
            knowledge_node.keep(
                claimed.id, content, expert=row.expert_name, department=row.expert_department
            )
    except (peewee.DatabaseError, DatabaseUnavailable) as error:
        logger.warning("knowledge_not_kept task=%s error=%s", claimed.id, error)
