"""The description of the API for programs: ``openapi.json`` beside this file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response


def document(request: Request) -> Response:
    return Response(_text(), media_type="application/json")


@cache
def _text() -> bytes:
    return (Path(__file__).parent / "openapi.json").read_bytes()
