"""``kos adopt``: what a site has, what we would add to it, and adding it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import peewee

from console.operations.connections import Connections
from jobs.policy.knowledge_os import Compat
from jobs.settings.names import OLD_NAMES, UNUSED_NAMES
from jobs.settings.sources import read_dotenv
from models import site
from models.database import session
from models.migrations import runner

COMPAT_OFFER = (
    "where its programs go on, KOS_COMPAT=knowledge_os writes what they read (docs/move-in.md)"
)
COMPAT_ON = "answers go to knowledge_nodes, and metadata gets what the other programs read"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, and what it means here."""

    found: str
    meaning: str


@dataclass(frozen=True, slots=True)
class AdoptionReport:
    """The document of ``kos adopt --json``. ``will_add`` are the migrations that are pending,
    ``applied`` those that this command ran, ``obstacles`` what refuses them."""

    database: Sequence[Finding]
    environment: Sequence[Finding]
    obstacles: Sequence[Finding]
    will_add: Sequence[str]
    applied: Sequence[str] = ()


def report(connections: Connections) -> AdoptionReport:
    """Of a database that is only read."""
    connections.use_database()
    with session():
        obstacles = list(site.obstacles())
        try:
            found = site.findings()
        except peewee.DatabaseError as error:  # no right to read it, or text that is no JSON
            reason = str(error).strip().splitlines()[0]
            found = [site.SiteFinding(reason, "the rest of the database was not read")]
        pending = runner.pending()
        has_knowledge = site.has_knowledge()
    return AdoptionReport(
        database=_findings(found),
        environment=[*_environment(connections), *_offers(connections, has_knowledge)],
        obstacles=_findings(obstacles) if pending else [],
        will_add=pending,
    )


def _findings(found: Iterable[site.SiteFinding]) -> list[Finding]:
    return [Finding(item.subject, item.meaning) for item in found]


def _offers(connections: Connections, has_knowledge: bool) -> list[Finding]:
    """What the owner may set because of what the database holds."""
    if not has_knowledge:
        return []
    if connections.settings.compat is Compat.KNOWLEDGE_OS:
        return [Finding("KOS_COMPAT=knowledge_os", COMPAT_ON)]
    return [Finding("KOS_COMPAT is not set", COMPAT_OFFER)]


def _environment(connections: Connections) -> list[Finding]:
    """Names of other programs that are set, and what each does here."""
    names = {*os.environ, *read_dotenv(connections.settings.dotenv)}
    found = [
        Finding(name, f"honoured; its name here is {current}")
        for name, current in OLD_NAMES.items()
        if name in names
    ]
    found += [
        Finding(name, f"not used: {reason}")
        for name, reason in UNUSED_NAMES.items()
        if name in names
    ]
    reported = set(UNUSED_NAMES)
    for warning in connections.settings.warnings:
        name, _, meaning = warning.partition(" ")
        if name not in reported:
            found.append(Finding(name, meaning))
    return found
