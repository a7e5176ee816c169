from __future__ import annotations

from console.operations.errors import near
from console.operations.ids import is_whole, short


def test_a_near_miss_is_named_in_its_own_spelling() -> None:
    assert near("anna webr", ["Anna Weber", "Тимур Алиев"]) == "did you mean Anna Weber?"
    assert near("тимур алив", ["Anna Weber", "Тимур Алиев"]) == "did you mean Тимур Алиев?"


def test_what_is_far_off_lists_what_there_is() -> None:
    assert near("x", ["mlx", "ollama"]) == "write one of mlx, ollama"
    assert near("x", []) == "none is known"


def test_an_id_is_shortened_as_far_as_it_stays_unique() -> None:
    ids = ["aaaaaaaa-0000-0000-0000-000000000001", "aaaaaaaa-1000-0000-0000-000000000002"]

    assert [short(task_id, among=ids) for task_id in ids] == ["aaaaaaaa-0", "aaaaaaaa-1"]
    assert short(ids[0]) == "aaaaaaaa"


def test_only_a_whole_id_counts_as_whole() -> None:
    assert is_whole("AAAAAAAA-0000-0000-0000-000000000001")
    assert not is_whole("aaaaaaaa")
    assert not is_whole("aaaaaaaa-0000-0000-0000-00000000000g")
