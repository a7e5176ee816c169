"""Profiles: the built-in ones can be used, and a wrong one says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm.simulator.profiles import KINDS, Kind, ProfileError, load_profile, parse_profile


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_profile_of_its_own(kind: Kind) -> None:
    profile = load_profile(kind)
    assert len(profile.models) >= 2
    for model in profile.models:
        assert model.size_bytes > 0
        assert model.load_seconds > 0
        assert model.decode_tokens_per_second > 0
        assert model.card(format_name=profile.format).parameter_size.endswith("B")


def test_the_instant_profile_takes_no_time() -> None:
    profile = load_profile("ollama", "instant")
    for model in profile.models:
        assert (model.load_seconds, model.decode_tokens_per_second) == (0, 0)


def test_a_file_is_a_profile(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"slots": 3, "models": [{"name": "m", "capabilities": ["vision"]}]}))
    profile = load_profile("mlx", str(path))
    assert profile.slots == 3
    assert profile.models[0].capabilities == ("vision",)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "needs a list 'models'"),
        ({"models": []}, "at least one model"),
        ({"models": [3]}, r"models\[0\]: must be an object"),
        ({"models": [{}]}, "name"),
        ({"models": [{"name": "m"}, {"name": "m"}]}, "same name"),
        ({"models": [{"name": "m", "load_second": 1}]}, "did you mean 'load_seconds'"),
        ({"models": [{"name": "m", "load_seconds": "1"}]}, "load_seconds: must be of type"),
        ({"models": [{"name": "m", "slots": -1}]}, "slots: must not be negative"),
        ({"models": [{"name": "m"}], "slots": True}, "slots: must be of type"),
        ({"models": [{"name": "m"}], "queue_covers": "some"}, "must be one of all, loads"),
        ({"models": [{"name": "m", "capabilities": "vision"}]}, "must be a list of texts"),
    ],
)
def test_a_wrong_profile_names_the_field(body: Any, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        parse_profile(json.dumps(body))


def test_an_unknown_profile_lists_those_that_come_with_it() -> None:
    with pytest.raises(ProfileError, match="instant, mlx, ollama, openai"):
        load_profile("ollama", "no-such-profile")
