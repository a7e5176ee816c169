"""The lines of a batch: writing the input, reading the results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kos_client.errors import BadInput, UnexpectedAnswer
from kos_client.reading import parse
from kos_client.values import BatchResult

ENDPOINT = "/v1/chat/completions"


def line(custom_id: str, prompt: str, *, model: str = "auto", **body: Any) -> dict[str, Any]:
    """One line of a batch, in OpenAI's format."""
    messages = [{"role": "user", "content": prompt}]
    whole = {"model": model, "messages": messages, **body}
    return {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": whole}


def contents(lines: Path | str | Iterable[Mapping[str, Any]]) -> tuple[str, bytes]:
    """(name, bytes) to upload. Raises BadInput where the file does not exist."""
    if isinstance(lines, Path | str):
        path = Path(lines)
        try:
            return path.name, path.read_bytes()
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror}", param="lines") from error
    text = "".join(json.dumps(dict(one), ensure_ascii=False) + "\n" for one in lines)
    return "batch.jsonl", text.encode()


def results(text: str) -> Iterator[BatchResult]:
    """The results in an output or error file; raises UnexpectedAnswer for any other line."""
    for written in text.split("\n"):
        if written.strip():
            yield _result(parse(written))


def _result(found: Any) -> BatchResult:
    custom_id = found.get("custom_id") if isinstance(found, dict) else None
    try:
        if found["error"]:
            return BatchResult(custom_id, error=str(found["error"]["message"]))
        message = found["response"]["body"]["choices"][0]["message"]
        return BatchResult(custom_id, text=message["content"])
    except (KeyError, IndexError, TypeError) as error:
        raise UnexpectedAnswer(f"line {custom_id!r} of the results has no {error}") from error
