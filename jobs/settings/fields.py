"""Parses one environment variable into one typed value.

A parser takes the text of a variable and returns its value, or raises ValueError with what is wrong
and what to write instead.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jobs.policy import webhooks
from llm.urls import DISABLED_WORDS

Parser = Callable[[str], Any]

TRUE = frozenset({"1", "true", "yes", "on", "y", "t"})
FALSE = frozenset({"0", "false", "no", "off", "n", "f"})


def setting(env: str, parse: Parser, default: Any = None, *, factory: Any = None) -> Any:
    """A dataclass field whose value comes from the variable ``env`` through ``parse``."""
    metadata = {"env": env, "parse": parse}
    if factory is not None:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)


def secret(env: str, parse: Parser) -> Any:
    """The same, kept out of ``repr`` and so out of logs."""
    return field(default=None, repr=False, metadata={"env": env, "parse": parse})


def integer(low: int, high: int) -> Parser:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError(
                f"is not a whole number; write a number from {low} to {high}"
            ) from None
        if not low <= value <= high:
            raise ValueError(f"is out of range; write a number from {low} to {high}")
        return value

    return parse


def number(low: float, high: float) -> Parser:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"is not a number; write a number from {low:g} to {high:g}") from None
        if not low <= value <= high:
            raise ValueError(f"is out of range; write a number from {low:g} to {high:g}")
        return value

    return parse


def fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("is not a number; write a fraction such as 0.85") from None
    if not 0 < value <= 1:
        raise ValueError("is out of range; write a fraction above 0 and up to 1, such as 0.85")
    return value


def boolean(text: str) -> bool:
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise ValueError("is neither true nor false; write true or false")


def one_of(choices: type[StrEnum]) -> Parser:
    def parse(text: str) -> StrEnum:
        try:
            return choices(text.lower())
        except ValueError:
            names = ", ".join(choice.value for choice in choices)
            raise ValueError(f"is not known; write one of {names}") from None

    return parse


def plain(text: str) -> str:
    if "\0" in text or "\n" in text:
        raise ValueError("holds a line break or a NUL; write one line")
    return text


def path(text: str) -> Path:
    return Path(plain(text)).expanduser().absolute()


def paths(text: str) -> tuple[Path, ...]:
    """Paths separated as in PATH, or by commas."""
    parts = plain(text).replace(",", os.pathsep).split(os.pathsep)
    return tuple(path(part.strip()) for part in parts if part.strip())


def names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in plain(text).split(",") if part.strip())


def events(text: str) -> tuple[str, ...]:
    found = names(text)
    unknown = [one for one in found if one not in webhooks.EVENTS]
    if unknown:
        raise ValueError(f"names {unknown[0]!r}; write some of {', '.join(webhooks.EVENTS)}")
    return found


def networks(text: str) -> tuple[webhooks.Network, ...]:
    try:
        return tuple(map(ipaddress.ip_network, names(text)))
    except ValueError as error:
        raise ValueError(
            f"is no list of networks ({error}); write 10.0.0.0/8,127.0.0.1/32"
        ) from None


def webhook_secret(text: str) -> str:
    webhooks.key_of(text)
    return text


def url(*schemes: str, example: str) -> Parser:
    def parse(text: str) -> str:
        try:
            parts = urlsplit(plain(text))
            _ = parts.port
        except ValueError as error:
            raise ValueError(f"is not a URL ({error}); write one such as {example}") from None
        if parts.scheme not in schemes:
            raise ValueError(f"must start with {schemes[0]}://; write one such as {example}")
        if not parts.netloc and not parts.path.strip("/"):
            raise ValueError(f"names no host; write one such as {example}")
        return text

    return parse


def database_url(text: str) -> str:
    """A Postgres URL. The ``+driver`` that some libraries put into the scheme is removed."""
    scheme, separator, rest = text.partition("://")
    example = "postgresql://user:password@127.0.0.1:5432/knowledge_os"
    return str(
        url("postgresql", "postgres", example=example)(scheme.split("+")[0] + separator + rest)
    )


redis_url = url("redis", "rediss", "unix", example="redis://127.0.0.1:6379/0")
http_url = url("http", "https", example="http://127.0.0.1:8010")


def optional_http_url(text: str) -> str | None:
    return None if text.lower() in DISABLED_WORDS else str(http_url(text)).rstrip("/")


def keep_alive(text: str) -> str | int:
    """Ollama's rule: a bare number is seconds (negative: forever), a string is a Go duration."""
    try:
        return int(text)
    except ValueError:
        if text[-1:] in {"s", "m", "h"}:
            return plain(text)
        raise ValueError("is no duration; write seconds (300), -1 for ever, or 5m") from None
