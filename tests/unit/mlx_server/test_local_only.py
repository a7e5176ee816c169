"""Which Host and Origin a server that is bound to loopback lets in."""

from __future__ import annotations

import pytest

from llm.mlx_server.errors import Forbidden
from llm.mlx_server.local_only import check, is_loopback

OWN = frozenset({"127.0.0.1", "studio.example.org"})


@pytest.mark.parametrize(
    "host",
    [
        None,
        "localhost:11435",
        "LOCALHOST.",
        "127.0.0.1:11435",
        "[::1]:11435",
        "192.168.65.254:11435",
        "host.docker.internal:11435",
        "mlx:11435",
        "Studio.example.org",
    ],
)
def test_this_machine_may_be_called_by_its_names(host: str | None) -> None:
    check(host=host, origin=None, own=OWN)


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:11435", "127.0.0.1.evil.example", "localhost.evil.example"],
)
def test_a_name_that_public_dns_may_lead_here_is_refused(host: str) -> None:
    with pytest.raises(Forbidden, match="for this machine only"):
        check(host=host, origin=None, own=OWN)


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "http://localhost:3000",
        "http://127.0.0.1:8080",
        "https://studio.example.org",
        "app://obsidian.md",
        "vscode-webview://1ab2",
    ],
)
def test_programs_and_pages_of_this_machine_may_ask(origin: str | None) -> None:
    check(host="localhost", origin=origin, own=OWN)


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "https://evil.example",
        "http://8.8.8.8",
        "http://evil",
        "http://localhost.evil.example",
    ],
)
def test_pages_of_other_sites_are_refused(origin: str) -> None:
    with pytest.raises(Forbidden, match="another site"):
        check(host="localhost", origin=origin, own=OWN)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("studio.example.org", False),
    ],
)
def test_only_loopback_is_this_machine_alone(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
