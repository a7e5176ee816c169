"""A line of a batch as a task of ours, and a task's answer as a line of the output file."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from jobs.policy.chat_task import ChatTaskError, chat_task
from models.batch import BatchLine

URL = "/v1/chat/completions"
ANY_MODEL = frozenset({"", "auto", "default"})
FINISHED = "stop"


def as_submission(line: object, *, key: str, models: Container[str] | None) -> dict[str, Any]:
    """The line for `submission.submit`, with ``custom_id`` set to ``key``.

    ``models`` are the known models, None if unknown. Raises ChatTaskError.
    """
    if not isinstance(line, Mapping):
        raise ChatTaskError("invalid_json_line", "the line is not a JSON object")
    if line.get("method", "POST") != "POST":
        raise ChatTaskError("invalid_method", "method: only POST is served")
    if line.get("url") != URL:
        raise ChatTaskError("invalid_url", f"url: only {URL} is served")
    body = line.get("body")
    if not isinstance(body, Mapping):
        raise ChatTaskError("missing_body", "body: must be an object with messages")
    task = chat_task(body)
    value: dict[str, Any] = {
        "description": task.description, "custom_id": key, "metadata": dict(task.metadata)
    }  # fmt: skip
    model = _model(body.get("model"), models)
    if model:
        value["model"] = model
    if task.schema is not None:
        value["schema"] = task.schema
    return value


def custom_id_of(line: object) -> str | None:
    found = line.get("custom_id") if isinstance(line, Mapping) else None
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return found if isinstance(found, str) else None


def output_line(batch_id: str, row: BatchLine) -> dict[str, Any]:
    """A completed task in the output file's format."""
    prompt, completion = row.prompt_tokens or 0, row.completion_tokens or 0
    body = {
        "id": f"chatcmpl-{row.task_id}",
        "object": "chat.completion",
        "created": row.ended_at or 0,
        "model": row.model or "unknown",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": row.result or "", "refusal": None},
                "logprobs": None,
                "finish_reason": row.finish_reason or FINISHED,
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    }
    response = {"status_code": 200, "request_id": row.task_id, "body": body}
    return _line(batch_id, row, response=response, error=None)


CANCELLED = {"code": "batch_cancelled", "message": "the task was cancelled"}
EXPIRED = {
    "code": "batch_expired",
    "message": "This request could not be executed before the completion window expired.",
}
"""As https://platform.openai.com/docs/guides/batch says it."""


def error_line(batch_id: str, row: BatchLine, *, ended: str) -> dict[str, Any]:
    """A refused line, or a task that failed or was cancelled, in the error file's format.

    ``ended``: the state in which the batch ends.
    """
    error = row.error
    if error is None and row.status == "cancelled":
        error = EXPIRED if ended == "expired" else CANCELLED
    if error is None and row.status is None:
        error = {"code": "task_gone", "message": "the task's row was deleted"}
    if error is None:
        error = {"code": row.error_code or "task_failed", "message": row.last_error or ""}
    return _line(batch_id, row, response=None, error=error)


def _line(batch_id: str, row: BatchLine, *, response: Any, error: Any) -> dict[str, Any]:
    return {
        "id": f"batch_req_{batch_id.removeprefix('batch_')}_{row.line}",
        "custom_id": row.custom_id,
        "response": response,
        "error": error,
    }


def _model(model: object, known: Container[str] | None) -> str | None:
    if model is None:
        return None
    if not isinstance(model, str):
        raise ChatTaskError("invalid_model", "model: must be text")
    if model.strip().lower() in ANY_MODEL:
        return None
    if known is not None and model not in known:
        raise ChatTaskError(
            "model_not_found", f"model: {model[:100]!r} is not here; GET /v1/models, or write auto"
        )
    return model
