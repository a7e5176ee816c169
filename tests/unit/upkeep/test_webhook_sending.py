"""One event over real sockets: what a receiver may do, and where none may be."""

from __future__ import annotations

import ipaddress
import sys
import time
from pathlib import Path

import pytest

from jobs.upkeep.webhooks import sending
from tests.support import receivers
from tests.support.receivers import Answer, receiver, saying

HERE = [ipaddress.ip_network("127.0.0.0/8")]
BODY = b'{"type":"task.failed"}'


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "299"])
def test_a_receiver_that_takes_the_event_gets_it_whole(status: str) -> None:
    with receiver(saying(status)) as good:
        sending.post(good.url, BODY, {"webhook-id": "one"}, allowed=HERE)

    [(headers, body)] = good.requests
    assert body == BODY
    assert headers["webhook-id"] == "one"
    assert headers["content-type"] == "application/json"
    assert headers["host"] == f"127.0.0.1:{good.port}"


@pytest.mark.parametrize("status", ["400 Bad", "404 No", "410 Gone", "500 Oops", "101 Up"])
def test_every_other_status_is_a_failure(status: str) -> None:
    with receiver(saying(status)) as bad, pytest.raises(sending.NotSent, match=status[:3]):
        sending.post(bad.url, BODY, {}, allowed=HERE)


def test_a_redirect_is_not_followed() -> None:
    with receiver(saying("200 OK")) as target:
        away = saying("302 Found", f"Location: {target.url}")
        with receiver(away) as bad, pytest.raises(sending.NotSent, match="answered 302"):
            sending.post(bad.url, BODY, {}, allowed=HERE)

    assert target.requests == []


def test_an_endless_body_is_not_read() -> None:
    with receiver(receivers.endless_body) as hostile:
        sending.post(hostile.url, BODY, {}, allowed=HERE)


@pytest.mark.parametrize("answer", [receivers.slow_header, receivers.silent])
def test_a_slow_receiver_is_left_when_its_time_is_over(answer: Answer) -> None:
    began = time.monotonic()
    with receiver(answer) as slow, pytest.raises(sending.NoAnswer, match="no answer within"):
        sending.post(slow.url, BODY, {}, allowed=HERE, deadline_seconds=0.4)

    assert time.monotonic() - began < receivers.LONGEST_SECONDS / 2


@pytest.mark.parametrize("answer", [receivers.endless_line, receivers.hanging_up])
def test_what_is_no_http_is_no_answer(answer: Answer) -> None:
    with receiver(answer) as hostile, pytest.raises(sending.NoAnswer):
        sending.post(hostile.url, BODY, {}, allowed=HERE)


def test_nobody_there_is_no_answer() -> None:
    with receiver(saying("200 OK")) as gone:
        url = gone.url
    with pytest.raises(sending.NoAnswer, match="refused"):
        sending.post(url, BODY, {}, allowed=HERE)


def test_an_https_address_is_greeted_by_tls_only() -> None:
    with receiver(saying("200 OK")) as plain, pytest.raises(sending.NoAnswer):
        sending.post(
            plain.url.replace("http:", "https:"), BODY, {}, allowed=HERE, deadline_seconds=0.5
        )

    assert plain.requests == []


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "http://[::1]:80/", "http://localhost/", "http://[::ffff:10.0.0.1]/"],
)
def test_a_private_address_is_refused(url: str) -> None:
    with pytest.raises(sending.BadAddress, match="private address"):
        sending.post(url, BODY, {})


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com/hook", "ftp://example.com/", "http://", "http://user:pw@example.com/",
        "http://example.com:99999/", "http://exa mple.com/", "http://example.com/\r\nX: y",
        "http://пример.рф/", "http://[::1/",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(sending.BadAddress):
        sending.post(url, BODY, {}, resolve=lambda host, port: ["8.8.8.8"])


def test_a_name_with_one_private_address_among_others_is_refused() -> None:
    with pytest.raises(sending.BadAddress, match=r"10\.0\.0\.1"):
        sending.post(
            "http://two.example/", BODY, {}, resolve=lambda host, port: ["8.8.8.8", "10.0.0.1"]
        )


def test_a_name_that_turns_private_after_the_check_leads_nowhere() -> None:
    """Its second answer, which a rebinding server would give, is never asked for."""
    lookups = []

    def resolve(host: str, port: int) -> list[str]:
        lookups.append(host)
        return ["127.0.0.1"] if len(lookups) == 1 else ["127.9.9.9"]

    with receiver(saying("200 OK")) as good:
        url = f"http://rebinding.example:{good.port}/"
        sending.post(url, BODY, {}, allowed=HERE, resolve=resolve)

    assert lookups == ["rebinding.example"]
    assert good.requests[0][0]["host"] == f"rebinding.example:{good.port}"


def test_a_command_reads_the_event(tmp_path: Path) -> None:
    place = tmp_path / "event"
    code = "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())"

    sending.run(f'"{sys.executable}" -c "{code}" {place}', BODY)

    assert place.read_bytes() == BODY


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("false", "exit code 1"),
        ("no-such-program-anywhere", "cannot be run"),
        ("'unclosed", "cannot be run"),
        ("sleep 60", "did not end within 0.3 s"),
        ("sh -c 'sleep 60 & sleep 60'", "did not end within 0.3 s"),
    ],
)
def test_a_command_that_fails_or_hangs_is_a_failure(command: str, problem: str) -> None:
    with pytest.raises(sending.NotSent, match=problem):
        sending.run(command, b"x" * 1_000_000, deadline_seconds=0.3)
