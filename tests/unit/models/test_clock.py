"""The time of the server is kept between its answers, whatever is done to the host's own."""

from __future__ import annotations

from dataclasses import dataclass

from models.clock import ServerClock


@dataclass
class Host:
    """A host whose own clock is five minutes ahead of the server's."""

    server: float = 1_000_000.0
    wall: float = 1_000_300.0
    boot: float = 50.0

    def passes(self, seconds: float) -> None:
        self.server += seconds
        self.wall += seconds
        self.boot += seconds

    def clock(self) -> ServerClock:
        return ServerClock(wall=lambda: self.wall, since_boot=lambda: self.boot)

    def ask(self, clock: ServerClock, *, takes: float = 0.0) -> None:
        """The answer is made half-way."""
        asked_at = self.boot
        self.passes(takes / 2)
        answer = self.server
        self.passes(takes / 2)
        clock.learn(answer, asked_at=asked_at)


def test_before_the_first_answer_it_is_the_clock_of_the_host() -> None:
    host = Host()

    assert host.clock().epoch_seconds() == host.wall


def test_it_follows_the_server_between_answers() -> None:
    host = Host()
    clock = host.clock()

    host.ask(clock, takes=0.5)
    host.passes(3600)

    assert clock.epoch_seconds() == host.server
    assert clock.utc_now().timestamp() == host.server


def test_setting_the_clock_of_the_host_changes_nothing() -> None:
    host = Host()
    clock = host.clock()
    host.ask(clock)

    host.wall -= 86_400

    assert clock.epoch_seconds() == host.server


def test_a_server_whose_clock_was_set_is_followed_with_its_next_answer() -> None:
    host = Host()
    clock = host.clock()
    host.ask(clock)

    host.server += 7200
    host.ask(clock)

    assert clock.epoch_seconds() == host.server


def test_a_slow_answer_does_not_replace_a_known_time() -> None:
    host = Host()
    clock = host.clock()
    host.ask(clock)
    asked_at, answer = host.boot, host.server

    host.passes(8.0)
    clock.learn(answer, asked_at=asked_at)

    assert clock.epoch_seconds() == host.server
