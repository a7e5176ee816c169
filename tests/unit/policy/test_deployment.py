"""How a Redis stands to a database: every case of who recorded what."""

from __future__ import annotations

import pytest

from jobs.policy.deployment import RedisStanding, standing


@pytest.mark.parametrize(
    ("recorded", "found", "same_address", "same_home", "of_another", "expected"),
    [
        (None, None, False, False, False, RedisStanding.NEW),
        (None, "b", False, False, False, RedisStanding.NEW),
        ("abcdef", "".join(["abc", "def"]), False, False, False, RedisStanding.SAME),
        ("a", None, True, False, False, RedisStanding.EMPTIED),
        ("a", "b", True, False, False, RedisStanding.FOREIGN),
        ("a", None, False, False, False, RedisStanding.FOREIGN),
        ("a", "b", False, False, False, RedisStanding.FOREIGN),
        ("a", "b", False, True, False, RedisStanding.MOVED),
        ("a", None, False, True, False, RedisStanding.MOVED),
        ("a", "a", False, False, True, RedisStanding.SAME),
        ("a", "b", True, True, True, RedisStanding.TAKEN),
        (None, "b", False, False, True, RedisStanding.TAKEN),
    ],
)
def test_a_redis_is_ours_by_its_name_or_by_what_is_known_of_its_home(
    recorded: str | None,
    found: str | None,
    same_address: bool,
    same_home: bool,
    of_another: bool,
    expected: RedisStanding,
) -> None:
    assert expected is standing(
        recorded_id=recorded,
        found_id=found,
        same_address=same_address,
        same_home=same_home,
        redis_of_another=of_another,
    )
