"""The doors of the house, called in this process, and what each must never do."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

from console.cli.main import main
from tests.support.commands import Ran

OURS = ("KOS_", "SMART_WORKER_", "ADAPTIVE_", "MLX_", "OLLAMA_", "DATABASE_URL", "REDIS_URL")
SIGNS_OF_A_TRACEBACK = ("Traceback (most recent", 'File "/', "unexpected ")


def kos(environ: Mapping[str, str], *words: str, stdin: bytes = b"") -> Ran:
    """Run ``kos`` here with no settings but ``environ``; holds it to showing no traceback."""
    others = {name: text for name, text in os.environ.items() if not name.startswith(OURS)}
    out, err = io.StringIO(), io.StringIO()
    source = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    with (
        mock.patch.dict(os.environ, {**others, **environ}, clear=True),
        mock.patch.object(sys, "stdin", source),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = main(list(words))
    ran = Ran(code, out.getvalue(), err.getvalue())
    shows_no_traceback(ran.out + ran.err)
    return ran


def shows_no_traceback(text: str) -> None:
    found = [sign for sign in SIGNS_OF_A_TRACEBACK if sign in text]
    assert not found, text


def says(text: str, parts: tuple[str, ...]) -> None:
    missing = [part for part in parts if part not in text]
    assert not missing, f"{missing} not in: {text}"
