"""What is said to a webhook, how it is signed, and when it is said again. Pure.

The form is that of Standard Webhooks (https://www.standardwebhooks.com), so that its libraries
verify it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from datetime import datetime, timedelta

EVENTS = {
    "task.completed": "a task is completed",
    "task.failed": "a task failed for good",
    "batch.done": "a batch is completed, failed, expired or cancelled",
    "backlog.stuck": "tasks wait and nothing moves",
}
TEST_EVENT = "webhook.test"
BY_DEFAULT = ("task.failed", "batch.done", "backlog.stuck")
SECRET_PREFIX = "whsec_"
LEAST_SECRET_BYTES, MOST_SECRET_BYTES = 24, 64
"""Of Standard Webhooks."""
RETRY_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""After the first, second, ... failed attempt: the schedule that Standard Webhooks proposes."""
GIVE_UP_AFTER = timedelta(days=4)
JITTER = 0.2
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def key_of(secret: str) -> bytes:
    """The key within a secret; raises ValueError that says how one is written."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not LEAST_SECRET_BYTES <= len(key) <= MOST_SECRET_BYTES:
        raise ValueError(
            f"is no secret of a webhook; write {SECRET_PREFIX} and {LEAST_SECRET_BYTES} to "
            f"{MOST_SECRET_BYTES} random bytes in base64"
        )
    return key


def secret_of(key: bytes) -> str:
    return SECRET_PREFIX + base64.b64encode(key).decode()


def headers(secret: str, delivery_id: str, body: bytes, *, now: datetime) -> dict[str, str]:
    """The three headers by which a receiver knows the sender, the moment and a repetition."""
    seconds = str(int(now.timestamp()))
    signed = b".".join((delivery_id.encode(), seconds.encode(), body))
    digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def retry_at(attempts: int, *, now: datetime, jitter: float) -> datetime:
    """When a delivery that failed ``attempts`` times is tried again; ``jitter`` from 0 to 1."""
    seconds = RETRY_SECONDS[min(attempts, len(RETRY_SECONDS)) - 1]
    return now + timedelta(seconds=seconds * (1 + JITTER * jitter))


def is_reachable(address: str, allowed: Iterable[Network] = ()) -> bool:
    """Whether a webhook may lead to this IP address: a public one, or one in ``allowed``."""
    found = _meant(ipaddress.ip_address(address.partition("%")[0]))
    if any(found.version == network.version and found in network for network in allowed):
        return True
    return found.is_global and not found.is_multicast


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address
