"""The description of the API for programs: ``openapi.json`` beside this file."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from console.version import version


def document(request: Request) -> Response:
    return Response(_text(), media_type="application/json")


@cache
def _text() -> bytes:
    described = json.loads((Path(__file__).parent / "openapi.json").read_text(encoding="utf-8"))
    described["info"]["version"] = version() or "unknown"
    return json.dumps(described, ensure_ascii=False).encode()
