"""How a Redis stands to a database: every case of who recorded what."""

from __future__ import annotations

import pytest

from jobs.policy.deployment import Standing, standing


@pytest.mark.parametrize(
    ("recorded", "found", "same_address", "same_home", "of_another", "expected"),
    [
        (None, None, False, False, False, Standing.NEW),
        (None, "b", False, False, False, Standing.NEW),
        ("abcdef", "".join(["abc", "def"]), False, False, False, Standing.SAME),
        ("a", None, True, False, False, Standing.EMPTIED),
        ("a", "b", True, False, False, Standing.FOREIGN),
        ("a", None, False, False, False, Standing.FOREIGN),
        ("a", "b", False, False, False, Standing.FOREIGN),
        ("a", "b", False, True, False, Standing.MOVED),
        ("a", None, False, True, False, Standing.MOVED),
        ("a", "a", False, False, True, Standing.SAME),
        ("a", "b", True, True, True, Standing.TAKEN),
        (None, "b", False, False, True, Standing.TAKEN),
    ],
)
def test_a_redis_is_ours_by_its_name_or_by_what_is_known_of_its_home(
    recorded: str | None,
    found: str | None,
    same_address: bool,
    same_home: bool,
    of_another: bool,
    expected: Standing,
) -> None:
    assert expected is standing(
        recorded_id=recorded,
        found_id=found,
        same_address=same_address,
        same_home=same_home,
        redis_of_another=of_another,
    )
