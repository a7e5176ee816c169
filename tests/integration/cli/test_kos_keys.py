"""``kos keys``: a key has a name by which it can be revoked."""

from __future__ import annotations

import pytest

from tests.integration.cli.command_line import Kos


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 101])
def test_a_name_that_nobody_could_write_again_is_refused(kos: Kos, name: str) -> None:
    ran = kos("keys", "add", name)

    assert (ran.code, ran.out) == (2, "")
    assert "name: write 1 to 100 characters in one line" in ran.err
    assert kos("keys", "list", "--json").json == []
