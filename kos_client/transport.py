"""HTTP to one dashboard: every call is bounded, every failure is one of our errors."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests

from kos_client.errors import (
    BadInput,
    KosError,
    NotAllowed,
    NotFound,
    TimedOut,
    UnexpectedAnswer,
    Unreachable,
)
from kos_client.reading import parse

CONNECT_SECONDS = 5.0
SILENT_SECONDS = 30.0
"""An event stream sends something at least every fifteen seconds."""

REFUSALS: Mapping[int, type[KosError]] = {
    400: BadInput, 409: BadInput, 413: BadInput, 415: BadInput, 422: BadInput,
    401: NotAllowed, 403: NotAllowed, 421: NotAllowed, 429: NotAllowed,
    404: NotFound,
    408: TimedOut, 504: TimedOut,
    502: Unreachable, 503: Unreachable,
}  # fmt: skip


class Transport:
    """Calls ``url``; a call fails after ``seconds`` of silence."""

    def __init__(self, url: str, *, token: str | None, seconds: float) -> None:
        self.url = _checked(url)
        self._seconds = seconds
        self._session = requests.Session()
        # A proxy of the environment cannot reach this machine or network, and a .netrc would
        # replace the token.
        self._session.trust_env = not is_near(urlsplit(self.url).hostname or "")
        self._session.auth = _Bearer(token)

    def get(self, path: str, **query: Any) -> Any:
        return parse(self.text(path, **query))

    def text(self, path: str, **query: Any) -> str:
        with self._answer("GET", path, params=query) as answer:
            answer.encoding = "utf-8"
            return answer.text

    def post(self, path: str, body: Any) -> Any:
        with self._answer("POST", path, json=body) as answer:
            return parse(answer.text)

    def upload(self, path: str, *, name: str, content: bytes, fields: Mapping[str, str]) -> Any:
        with self._answer("POST", path, files={"file": (name, content)}, data=fields) as answer:
            return parse(answer.text)

    def events(self, path: str) -> Iterator[tuple[str, Any]]:
        """Server-sent events as (name, data), until the dashboard ends the stream.

        ("comment", None) means that nothing has happened for a while.
        """
        name = "message"
        with self._answer("GET", path, stream=True, silent_seconds=SILENT_SECONDS) as answer:
            for line in answer.iter_lines(chunk_size=None):
                key, _, value = line.decode("utf-8", "replace").partition(": ")
                if key == "event":
                    name = value
                elif key == "data":
                    yield name, parse(value)
                elif line.startswith(b":"):
                    yield "comment", None

    def close(self) -> None:
        self._session.close()

    @contextmanager
    def _answer(
        self, method: str, path: str, *, silent_seconds: float | None = None, **options: Any
    ) -> Iterator[requests.Response]:
        timeout = (CONNECT_SECONDS, silent_seconds or self._seconds)
        try:
            with self._session.request(
                method, self.url + path, timeout=timeout, allow_redirects=False, **options
            ) as answer:
                if answer.status_code >= 300 and not _is_report(answer):
                    raise _refusal(answer)
                yield answer
        except requests.Timeout as error:
            raise TimedOut(f"{self.url} is silent since {timeout[1]:g} s ({error})") from error
        except requests.RequestException as error:
            raise Unreachable(
                f"{self.url} does not answer ({_reason(error)}): run `kos up`, or set "
                "KOS_DASHBOARD_URL to the address that `kos status` names"
            ) from error


class _Bearer(requests.auth.AuthBase):
    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def is_near(host: str) -> bool:
    """Whether ``host`` is this machine or an address of a private network."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        is_good = False
    if not is_good:
        raise BadInput(f"{url!r} is no address: write http://127.0.0.1:11480", param="url")
    return url.strip().rstrip("/")


def _refusal(answer: requests.Response) -> KosError:
    """The error for an answer with a status of 300 or more."""
    message, param = _message_and_field(answer)
    kind = REFUSALS.get(answer.status_code, UnexpectedAnswer)
    if kind is BadInput:
        return BadInput(message, param=param)
    if answer.status_code in (401, 403) and "token" in message:
        message += "; pass Client(token=...) or set KOS_DASHBOARD_TOKEN"
    return kind(message)


def _is_report(answer: requests.Response) -> bool:
    """True for a report on a submission in which every line was refused."""
    return answer.status_code == 422 and "rejected" in _document(answer)


def _message_and_field(answer: requests.Response) -> tuple[str, str | None]:
    error = _document(answer).get("error")
    if isinstance(error, dict) and error.get("message"):
        return str(error["message"]), error.get("param")
    return f"{answer.url} answers {answer.status_code}: is this the dashboard?", None


def _document(answer: requests.Response) -> dict[str, Any]:
    try:
        found = parse(answer.text)
    except UnexpectedAnswer:
        return {}
    return found if isinstance(found, dict) else {}


def _reason(error: Exception) -> str:
    """The innermost cause in a few words: libraries wrap it three times."""
    inner = getattr(error.args[0], "reason", error) if error.args else error
    return str(inner).rpartition(": ")[2][:200] or type(error).__name__
