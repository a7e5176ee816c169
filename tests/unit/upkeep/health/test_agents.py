"""Whether Victoria and Veronica work, as their owner asks: by ``/status``."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from jobs.upkeep.health import services

USUAL = "http://localhost:8010"


def answers(monkeypatch: pytest.MonkeyPatch, body: Any, *, status: int = 200) -> list[str]:
    """The URLs that are asked, from now on."""
    asked: list[str] = []

    def get(url: str, *, seconds: float) -> requests.Response:
        asked.append(url)
        if body is None:
            raise requests.ConnectionError("refused")
        response = requests.Response()
        response.status_code = status
        response._content = json.dumps(body).encode()
        return response

    monkeypatch.setattr("llm.direct.get", get)
    return asked


def test_the_usual_port_is_asked_where_no_url_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch, {"status": "ok"})

    (check,) = services.agent("victoria", None, USUAL)

    assert check.ok
    assert asked == [f"{USUAL}/status"]


def test_silence_is_red_only_where_its_url_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch, None)

    assert services.agent("victoria", None, USUAL) == []
    (check,) = services.agent("victoria", "http://10.0.0.1:8010/", USUAL)

    assert not check.ok
    assert asked[-1] == "http://10.0.0.1:8010/status"


@pytest.mark.parametrize("body", [[], "text", {"victoria_levels": None}, {"victoria_levels": 3}])
def test_a_status_of_another_shape_is_taken_for_well(
    monkeypatch: pytest.MonkeyPatch, body: Any
) -> None:
    answers(monkeypatch, body)

    assert services.agent("victoria", None, USUAL)[0].ok


def test_a_level_that_is_off_is_red_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = {"agent": True, "enhanced": False, "initiative": False}
    answers(monkeypatch, {"victoria_levels": levels})

    (check,) = services.agent("victoria", None, USUAL)

    assert (check.ok, check.detail) == (False, "off: enhanced, initiative")
    assert "check_and_start_containers.sh" in check.remedy
