"""One run of deliveries: claims what is due, sends it outside of any transaction, and records the
result.

Receivers do not wait for each other, and a failing one keeps its deliveries for later, so a run is
always short. A delivery may arrive twice (the process may die between the answer and its record),
always under the same id.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from jobs.policy.webhooks import GIVE_UP_AFTER, headers, retry_at
from jobs.process.clock import utc_now
from jobs.settings.load import Settings
from jobs.upkeep.webhooks import sending
from models import webhook
from models.database import session
from models.webhook import COMMAND, SETTING, Webhook, WebhookDelivery

logger = logging.getLogger(__name__)

URL_SETTING, COMMAND_SETTING = "KOS_WEBHOOK_URL", "KOS_NOTIFY_COMMAND"
RECEIVERS_AT_ONCE = 4
PAGE = 20
RUN_SECONDS = 15.0
LEASE_SECONDS = 60.0
"""Longer than a run and one last delivery."""
MOST_PROBLEM_CHARS = 500


class Deliveries:
    """Delivers what is due. One run at a time in a process; row locks separate processes.

    A run that is requested while another is under way follows it: the first may have read the rows
    already.
    """

    def __init__(
        self, settings: Settings, *, deadline_seconds: float = sending.DEADLINE_SECONDS
    ) -> None:
        self._settings = settings
        self._deadline_seconds = deadline_seconds
        self._lock = threading.Lock()
        self._running = self._wanted = False

    def run(self) -> bool:
        """Deliver what is due; True if another run is needed, because time ran out or another run
        was requested meanwhile."""
        with self._lock:
            self._wanted = self._running
            if self._running:
                return False
            self._running = True
        more = False
        try:
            more = self._run()
        finally:
            with self._lock:
                self._running = False
                more = more or self._wanted
        return more

    def _run(self) -> bool:
        with session():
            self._keep_settings()
            given_up = webhook.give_up(created_before=utc_now() - GIVE_UP_AFTER)
            due = webhook.with_due_deliveries()
        if given_up:
            logger.warning("webhooks_given_up deliveries=%d", given_up)
        if not due:
            return False
        deadline = time.monotonic() + RUN_SECONDS
        with ThreadPoolExecutor(RECEIVERS_AT_ONCE, "webhook") as pool:
            return any(list(pool.map(lambda one: self._deliver_all(one, deadline), due)))

    def _keep_settings(self) -> None:
        settings = self._settings
        for name, kind, value, events in (
            (URL_SETTING, SETTING, settings.webhook_url, settings.webhook_events),
            (COMMAND_SETTING, COMMAND, settings.notify_command, settings.notify_events),
        ):
            webhook.keep_setting(name, kind, events if value else None)

    def _deliver_all(self, receiver: Webhook, deadline: float) -> bool:
        """Deliver until nothing is due, one fails, or the time is over (True)."""
        while time.monotonic() < deadline:
            with session():
                page = webhook.claim(receiver.id, limit=PAGE, lease_seconds=LEASE_SECONDS)
            if not page:
                return False
            for place, delivery in enumerate(page):
                late = time.monotonic() > deadline
                if late or not self._deliver(receiver, delivery):
                    with session():
                        webhook.give_back(page[place:] if late else page[place + 1 :])
                    return late
        return True

    def _deliver(self, receiver: Webhook, delivery: WebhookDelivery) -> bool:
        """Send one delivery; True if the receiver answered, even with a refusal."""
        error = self._error_of(receiver, delivery)
        answers = not isinstance(error, sending.NoAnswer)
        with session():
            if error is None:
                webhook.delivered(delivery)
            else:
                times = delivery.attempts if answers else receiver.failures + 1
                at = retry_at(times, now=utc_now(), jitter=random.random())
                problem = str(error)[:MOST_PROBLEM_CHARS]
                logger.warning("webhook_failed name=%s error=%s", receiver.name, problem)
                webhook.retry(delivery, problem, at=at)
                if not answers:
                    webhook.hold(receiver.id, until=at)
            if answers:
                webhook.answers(receiver.id)
        return answers

    def _error_of(self, receiver: Webhook, delivery: WebhookDelivery) -> sending.NotSent | None:
        try:
            send(self._settings, receiver, delivery, deadline_seconds=self._deadline_seconds)
        except sending.NotSent as error:
            return error
        return None


def send(
    settings: Settings,
    receiver: Webhook,
    delivery: WebhookDelivery,
    *,
    deadline_seconds: float = sending.DEADLINE_SECONDS,
) -> None:
    """Send one event now; raises NotSent."""
    body = _body(delivery)
    if receiver.kind == COMMAND:
        sending.run(settings.notify_command or "", body, deadline_seconds=deadline_seconds)
        return
    url, secret = receiver.url, receiver.secret
    if receiver.kind == SETTING:
        url, secret = settings.webhook_url, settings.webhook_secret
    sending.post(
        url or "",
        body,
        headers(secret or "", delivery.id, body, now=utc_now()),
        allowed=settings.webhook_networks,
        deadline_seconds=deadline_seconds,
    )


def _body(delivery: WebhookDelivery) -> bytes:
    """The JSON object of Standard Webhooks: type, timestamp, data."""
    document = {
        "type": delivery.event,
        "timestamp": delivery.created_at.isoformat(),
        "data": delivery.data,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
