from __future__ import annotations

import pytest

from llm.urls import UrlError, mlx_url, normalise, ollama_url


@pytest.mark.parametrize(
    ("environ", "inside", "expected"),
    [
        ({}, False, "http://localhost:11434"),
        ({}, True, "http://host.docker.internal:11434"),
        ({"OLLAMA_BASE_URL": "http://b:1"}, True, "http://b:1"),
        ({"OLLAMA_BASE_URL": "http://b:1", "OLLAMA_API_URL": "http://a:1"}, True, "http://a:1"),
        ({"OLLAMA_BASE_URL": "http://b:1", "OLLAMA_API_URL": "  "}, False, "http://b:1"),
    ],
)
def test_ollama_is_where_the_environment_says_else_at_home(
    environ: dict[str, str], inside: bool, expected: str
) -> None:
    assert ollama_url(environ, in_container=inside) == expected


@pytest.mark.parametrize(
    ("environ", "inside", "expected"),
    [
        ({}, False, "http://localhost:11435"),
        ({}, True, "http://host.docker.internal:11435"),
        ({"MLX_API_PORT": "9000"}, False, "http://localhost:9000"),
        ({"MLX_API_URL": "http://mac:11435"}, True, "http://mac:11435"),
        ({"MLX_API_URL": "disabled"}, False, None),
        ({"MLX_API_URL": "false"}, False, None),
        ({"MLX_API_URL": " NONE "}, True, None),
        ({"MLX_API_URL": "off"}, False, None),
    ],
)
def test_mlx_is_where_the_environment_says_or_turned_off(
    environ: dict[str, str], inside: bool, expected: str | None
) -> None:
    assert mlx_url(environ, in_container=inside) == expected


@pytest.mark.parametrize(
    ("written", "clean"),
    [
        ("http://localhost:11434", "http://localhost:11434"),
        ("http://localhost:11434/", "http://localhost:11434"),
        ("http://localhost:11434///", "http://localhost:11434"),
        ("localhost:11434", "http://localhost:11434"),
        ("localhost", "http://localhost"),
        ("//host:1", "http://host:1"),
        ("HTTP://Host:1", "http://host:1"),
        ("https://host/ollama/", "https://host/ollama"),
        ("https://host//a//b/", "https://host/a/b"),
        ("::1", "http://[::1]"),
        ("[::1]:11434", "http://[::1]:11434"),
        ("http://[fe80::1]:11434/", "http://[fe80::1]:11434"),
        ("http://host.docker.internal:11434", "http://host.docker.internal:11434"),
        ('"http://host:1"', "http://host:1"),
        ("http://my_host:1", "http://my_host:1"),
        ("http://пример.рф:1", "http://xn--e1afmkfd.xn--p1ai:1"),
    ],
)
def test_an_address_is_cleaned(written: str, clean: str) -> None:
    assert normalise(written).url == clean
    assert normalise(clean).url == clean


def test_credentials_are_taken_out_and_never_shown() -> None:
    address = normalise("https://user:p%40ss@host:8443/path/")

    assert address.url == "https://host:8443/path"
    assert address.basic_auth == ("user", "p@ss")
    assert "p@ss" not in repr(address)
    with pytest.raises(UrlError) as caught:
        normalise("ftp://user:secret@host")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("http://", "no host"),
        ("http://:80", "no host"),
        ("ftp://host", "use http or https"),
        ("http://host:99999", "port"),
        ("http://host:abc", "port"),
        ("http://host:0", "port 0"),
        ("http://a b:1", "white space"),
        ("http://host:1\nX: y", "white space"),
        ("http://host:1/?q=1", "query"),
        ("http://host:1/#f", "fragment"),
        ("http://[::1", "IPv6"),
        ("http://fe80::1:11434", "brackets"),
        ("http://ho$t", "host name"),
    ],
)
def test_what_is_no_address_says_what_to_write(written: str, hint: str) -> None:
    with pytest.raises(UrlError, match=hint):
        normalise(written)
