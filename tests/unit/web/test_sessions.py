"""Cookies, form tokens, counted guesses, hosts and origins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from console.web.security.attempts import BY_ADDRESS, BY_EVERYBODY, LoginAttempts
from console.web.security.ended import EndedSessions
from console.web.security.sessions import SESSION_SECONDS, Sessions
from jobs.process.http_origins import allowed_hosts, host_name, is_same_origin


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_session_outlives_a_restart_and_ends_with_its_token() -> None:
    cookie = Sessions("secret", port=11480).new(authenticated=True).cookie

    again = Sessions("secret", port=11480).read(cookie)

    assert again is not None
    assert again.authenticated
    assert Sessions("another", port=11480).read(cookie) is None


def test_without_a_token_each_process_has_its_own_key() -> None:
    assert (
        Sessions(None, port=11480).read(Sessions(None, port=11480).new(authenticated=False).cookie)
        is None
    )


def test_a_session_expires() -> None:
    clock = Clock()
    sessions = Sessions("secret", port=11480, clock=clock)
    cookie = sessions.new(authenticated=True).cookie

    clock.now += SESSION_SECONDS + 1

    assert sessions.read(cookie) is None


def test_nobody_can_declare_a_session_entered() -> None:
    sessions = Sessions("secret", port=11480)
    cookie = sessions.new(authenticated=False).cookie

    assert sessions.read("1" + cookie[1:]) is None


@pytest.mark.parametrize("cookie", ["", ".", "...", "1.2.3.4", "x" * 10_000, None, "1.é.x.y"])
def test_rubbish_is_no_session(cookie: str | None) -> None:
    assert Sessions("secret", port=11480).read(cookie) is None


def test_form_tokens_differ_by_session() -> None:
    sessions = Sessions("secret", port=11480)

    assert (
        sessions.new(authenticated=True).form_token != sessions.new(authenticated=True).form_token
    )


def test_a_form_token_cannot_be_read_off_a_cookie() -> None:
    session = Sessions("secret", port=11480).new(authenticated=True)

    assert session.form_token not in session.cookie


def test_no_token_is_ever_right_where_none_is_set() -> None:
    assert not Sessions(None, port=11480).is_token("")
    assert not Sessions(None, port=11480).is_token(None)


def test_guesses_of_one_address_do_not_slow_another() -> None:
    clock = Clock()
    attempts = LoginAttempts(clock=clock)
    for number in range(BY_ADDRESS):
        assert attempts.failed("a", str(number)) == 0

    assert attempts.failed("a", "one more") == 60
    assert attempts.failed("b", "one more") == 0


def test_who_keeps_guessing_waits_until_only_four_guesses_of_the_last_minute_are_left() -> None:
    clock = Clock()
    attempts = LoginAttempts(clock=clock)
    waits = []
    for number in range(BY_ADDRESS + 3):
        waits.append(attempts.failed("10.0.0.1", f"wrong {number}"))
        clock.now += 5

    assert waits == [0] * BY_ADDRESS + [35, 35, 35]


def test_guesses_from_many_addresses_have_to_wait_too() -> None:
    attempts = LoginAttempts(clock=Clock())
    for number in range(BY_EVERYBODY):
        attempts.failed(str(number), "guess")

    assert attempts.failed("a newcomer", "guess") > 0


def test_an_ended_session_stays_ended_after_a_restart(tmp_path: Path) -> None:
    def after_a_start() -> Sessions:
        return Sessions("secret", port=11480, ended=EndedSessions(tmp_path / "run" / "ended.json"))

    ended, other = (after_a_start().new(authenticated=True) for _ in range(2))
    after_a_start().end(ended)

    assert after_a_start().read(ended.cookie) is None
    assert after_a_start().read(other.cookie) is not None


def test_ended_sessions_are_kept_until_they_would_have_expired(tmp_path: Path) -> None:
    clock = Clock()
    file = tmp_path / "ended.json"
    sessions = Sessions("secret", port=11480, ended=EndedSessions(file), clock=clock)
    first, second = (sessions.new(authenticated=True) for _ in range(2))
    for session in (first, second):
        sessions.end(session)
    assert [sessions.read(session.cookie) for session in (first, second)] == [None, None]

    clock.now += SESSION_SECONDS + 1
    sessions.end(sessions.new(authenticated=True))

    assert len(json.loads(file.read_text())) == 1


def test_of_too_many_ended_sessions_those_are_forgotten_that_expire_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("console.web.security.ended.MOST", 2)
    kept = EndedSessions(None)

    for expires in (3.0, 1.0, 2.0):
        kept.add(f"until {expires:g}", expires=expires, now=0.0)

    assert [f"until {number}" in kept for number in (1, 2, 3)] == [False, True, True]


def test_a_spoiled_list_of_ended_sessions_locks_nobody_out(tmp_path: Path) -> None:
    file = tmp_path / "ended.json"
    for text in ("", "[1]", '{"a": "x"}', "\x00"):
        file.write_text(text)
        sessions = Sessions("secret", port=11480, ended=EndedSessions(file))
        assert sessions.read(sessions.new(authenticated=True).cookie) is not None


def test_any_host_may_be_named_only_where_it_does_not_listen_on_loopback() -> None:
    assert allowed_hosts("0.0.0.0", ()) is None
    assert "box.local" in (allowed_hosts("127.0.0.1", ["Box.local"]) or ())


@pytest.mark.parametrize(
    ("header", "name"),
    [("localhost:80", "localhost"), ("[::1]:80", "::1"), ("LocalHost", "localhost"), ("[::", "")],
)
def test_a_host_is_read_without_its_port(header: str, name: str) -> None:
    assert host_name(header) == name


@pytest.mark.parametrize(
    ("origin", "site", "same"),
    [
        (None, None, True),
        ("http://box:1", None, True),
        ("http://BOX:1", "same-origin", True),
        ("http://box:2", None, False),
        ("null", None, False),
        (None, "cross-site", False),
        ("http://box:1", "same-site", False),
        ("http://[", None, False),
    ],
)
def test_only_a_page_of_the_same_origin_may_ask(
    origin: str | None, site: str | None, same: bool
) -> None:
    assert is_same_origin("box:1", origin=origin, fetch_site=site) is same
