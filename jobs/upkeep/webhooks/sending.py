"""Sends one event: an HTTP POST, or a command that reads it. Bounded in time and bytes.

The host name is resolved once, its addresses are checked, and the connection uses a checked
address, so that a name that resolves differently a moment later (DNS rebinding) has no effect. Only
the status line of the answer is read; redirects are not followed.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from urllib.parse import SplitResult, urlsplit

from jobs.policy.webhooks import Network, is_reachable

DEADLINE_SECONDS = 10.0
MOST_STATUS_LINE_BYTES = 4096
USER_AGENT = "knowledge-os-jobs"
REMEDY = "only KOS_WEBHOOK_NETWORKS can allow it"
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: .*)?")
_URL = re.compile(r"https?://[!-~]+")
Resolve = Callable[[str, int], Sequence[str]]


class NotSent(Exception):
    """The receiver did not accept it; the message says why."""


class NoAnswer(NotSent):
    """No answer, or too late: the next event would fail as well now."""


class BadAddress(NoAnswer):
    """Webhooks may not use this address."""


def resolve(host: str, port: int) -> list[str]:
    """The IP addresses of a name; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def checked_addresses(
    url: str, *, allowed: Sequence[Network], resolve: Resolve = resolve
) -> tuple[SplitResult, int, list[str]]:
    """The parts of ``url``, its port and its allowed addresses; raises BadAddress."""
    parts, port = _parts(url)
    try:
        addresses = list(resolve(parts.hostname or "", port))
    except (OSError, UnicodeError) as error:
        raise BadAddress(f"{parts.hostname} cannot be resolved ({error})") from error
    refused = [one for one in addresses if not is_reachable(one, allowed)]
    if refused:
        raise BadAddress(f"{parts.hostname} is the private address {refused[0]}; {REMEDY}")
    return parts, port, addresses


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allowed: Sequence[Network] = (),
    resolve: Resolve = resolve,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> None:
    """POST JSON; raises NotSent for everything but a status of 200 to 299."""
    parts, port, addresses = checked_addresses(url, allowed=allowed, resolve=resolve)
    deadline = time.monotonic() + deadline_seconds
    request = _request(parts, body, headers)
    try:
        with closing(_connected(parts, port, addresses, deadline)) as connection:
            connection.settimeout(_left(deadline))
            connection.sendall(request)
            status = _status(connection, deadline)
    except TimeoutError as error:
        raise NoAnswer(f"no answer within {deadline_seconds:g} s") from error
    except OSError as error:
        raise NoAnswer(f"{parts.hostname}:{port}: {error}") from error
    if not 200 <= status < 300:
        raise NotSent(f"the receiver answered {status}")


def run(command: str, body: bytes, *, deadline_seconds: float = DEADLINE_SECONDS) -> None:
    """Run ``command`` (no shell) with the event on its standard input; raises NotSent."""
    try:
        process = subprocess.Popen(
            shlex.split(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise NoAnswer(f"KOS_NOTIFY_COMMAND cannot be run ({error})") from error
    try:
        process.communicate(body, timeout=deadline_seconds)
    except subprocess.TimeoutExpired as error:
        raise NoAnswer(f"the command did not end within {deadline_seconds:g} s") from error
    finally:
        with suppress(ProcessLookupError):  # Its child processes are killed as well.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode:
        raise NotSent(f"the command ended with exit code {process.returncode}")


def _parts(url: str) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise BadAddress(f"is no URL ({error})") from error
    if not _URL.fullmatch(url) or not parts.hostname:
        raise BadAddress("is no URL; write one such as https://example.com/hook")
    if parts.username is not None or parts.fragment:
        raise BadAddress("has a user or a fragment; the signature is what proves the sender")
    return parts, port


def _request(parts: SplitResult, body: bytes, headers: Mapping[str, str]) -> bytes:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"POST {target} HTTP/1.1", f"Host: {parts.netloc}"]
    own = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "User-Agent": USER_AGENT,
        "Connection": "close",
    }
    lines += [f"{name}: {value}" for name, value in {**own, **headers}.items()]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _connected(
    parts: SplitResult, port: int, addresses: Sequence[str], deadline: float
) -> socket.socket:
    problem: OSError = OSError("it has no address")
    for address in addresses:
        try:
            plain = socket.create_connection((address, port), timeout=_left(deadline))
        except OSError as error:
            problem = error
            continue
        if parts.scheme == "http":
            return plain
        try:
            plain.settimeout(_left(deadline))
            return ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname)
        except BaseException:
            plain.close()
            raise
    raise problem


def _status(connection: socket.socket, deadline: float) -> int:
    received = b""
    while b"\n" not in received:
        connection.settimeout(_left(deadline))
        part = connection.recv(MOST_STATUS_LINE_BYTES)
        received += part
        if not part or len(received) > MOST_STATUS_LINE_BYTES:
            break
    found = _STATUS_LINE.fullmatch(received.partition(b"\n")[0].rstrip(b"\r"))
    if found is None:
        raise NoAnswer("the answer is not HTTP")
    return int(found[1])


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
