from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest

from jobs.policy.webhooks import headers, is_reachable, key_of, retry_at, secret_of

NOW = datetime.fromtimestamp(1_614_265_330, UTC)


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The published example of the specification's libraries."""
    signed = headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        now=NOW,
    )

    assert signed == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_short", "whsec_!!!", "a password"])
def test_a_secret_that_is_none_says_how_one_is_written(secret: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 random bytes in base64"):
        key_of(secret)


def test_a_secret_holds_its_key() -> None:
    assert key_of(secret_of(b"k" * 32)) == b"k" * 32


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "0.0.0.0",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1",
        "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254", "2002:7f00:1::",
    ],
)  # fmt: skip
def test_a_private_address_is_not_reachable_however_it_is_written(address: str) -> None:
    assert not is_reachable(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700::1111", "64:ff9b::8.8.8.8"])
def test_a_public_address_is_reachable(address: str) -> None:
    assert is_reachable(address)


def test_an_allowed_network_is_reachable_and_no_other() -> None:
    allowed = [ipaddress.ip_network("10.0.0.0/8")]

    assert is_reachable("10.1.2.3", allowed)
    assert is_reachable("::ffff:10.1.2.3", allowed)
    assert not is_reachable("127.0.0.1", allowed)


def test_waits_grow_and_then_stay() -> None:
    waits = [retry_at(attempts, now=NOW, jitter=0) - NOW for attempts in range(1, 20)]

    assert waits[0] == timedelta(seconds=5)
    assert waits == sorted(waits)
    assert waits[-1] == timedelta(days=1)
    assert retry_at(1, now=NOW, jitter=1) == NOW + timedelta(seconds=6)
