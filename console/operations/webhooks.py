"""Webhooks: list, add, remove, test. What a command or a page shows of each."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from console.operations.errors import InvalidInput, UnknownName, near
from console.operations.templates import MAX_NAME_CHARS
from jobs.policy.webhooks import BY_DEFAULT, EVENTS, LEAST_SECRET_BYTES, TEST_EVENT, secret_of
from jobs.process.clock import utc_now
from jobs.settings.load import Settings
from jobs.upkeep.webhooks import delivering, sending
from models import webhook
from models.webhook import ListedDelivery, ListedWebhook, WebhookDelivery

DELIVERIES_SHOWN = 20
MAX_URL_CHARS = 2000
SETTINGS = (delivering.URL_SETTING, delivering.COMMAND_SETTING)


def as_document(one: ListedWebhook) -> dict[str, Any]:
    return {**asdict(one), "leads_to": leads_to(one), "origin": origin(one)}


def leads_to(one: ListedWebhook) -> str:
    """Its address, or the setting that holds it."""
    return one.url or f"${one.name}"


def origin(one: ListedWebhook) -> str:
    """What may be shown to who may change nothing: the path of an address may be a secret."""
    return "/".join((one.url or "").split("/")[:3])


def add(name: str, url: str, events: Sequence[str], *, settings: Settings) -> dict[str, Any]:
    """Add a webhook; its ``secret`` is in this document alone. Raises InvalidInput."""
    if not name.strip() or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise InvalidInput(f"name: write 1 to {MAX_NAME_CHARS} characters in one line")
    if name in SETTINGS:
        raise InvalidInput(f"name: {name} is a setting; set it in .env")
    unknown = [one for one in events if one not in EVENTS]
    if unknown:
        raise InvalidInput(f"event: {unknown[0]!r} is unknown; {near(unknown[0], list(EVENTS))}")
    if len(url) > MAX_URL_CHARS:
        raise InvalidInput(f"url: is longer than {MAX_URL_CHARS} characters")
    try:
        sending.checked_addresses(url, allowed=settings.webhook_networks)
    except sending.BadAddress as error:
        raise InvalidInput(f"url: {error}") from error
    secret = secret_of(secrets.token_bytes(LEAST_SECRET_BYTES))
    chosen = list(dict.fromkeys(events)) or list(BY_DEFAULT)
    if not webhook.add(name, url=url, secret=secret, events=chosen):
        raise InvalidInput(f"name: {name!r} is there already; remove it first")
    return {"name": name, "url": url, "events": chosen, "secret": secret}


def remove(name: str) -> None:
    """Remove a webhook and its deliveries. Raises UnknownName, InvalidInput for a setting."""
    if name in SETTINGS:
        raise InvalidInput(f"{name} is a setting; take it out of .env and start again")
    if not webhook.remove(name):
        raise _unknown(name)


def send_test(name: str, *, settings: Settings) -> None:
    """Send a test event now. Raises UnknownName, and InvalidInput with what went wrong."""
    found = webhook.named(name)
    if found is None:
        raise _unknown(name)
    event = WebhookDelivery(
        f"test_{secrets.token_hex(12)}", TEST_EVENT, {"name": name}, 1, utc_now()
    )
    try:
        delivering.send(settings, found, event)
    except sending.NotSent as error:
        raise InvalidInput(f"{name}: {error}") from error


def deliveries(name: str) -> list[ListedDelivery]:
    """The newest deliveries of one webhook. Raises UnknownName."""
    if webhook.named(name) is None:
        raise _unknown(name)
    return webhook.deliveries(name, limit=DELIVERIES_SHOWN)


def _unknown(name: str) -> UnknownName:
    names = [one.name for one in webhook.listed()]
    return UnknownName(f"no webhook {name!r}: {near(name, names)}")
