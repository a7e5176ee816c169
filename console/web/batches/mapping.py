"""A line of a batch as a task of ours, and a task's answer as a line of the output file."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from jobs.policy.sampling import SAMPLING_KEYS
from models.base import Row

URL = "/v1/chat/completions"
ANY_MODEL = frozenset({"", "auto", "default"})
FINISHED = "stop"


class LineError(Exception):
    """A line that cannot be run; ``code`` is for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def as_json(self) -> dict[str, str]:
        return {"code": self.code, "message": str(self)}


def as_submission(line: object, *, key: str, models: Container[str] | None) -> dict[str, Any]:
    """What `submission.submit` takes, with ``custom_id`` set to ``key``.

    ``models`` are those that exist, None where nobody knows them now. Raises LineError.
    """
    if not isinstance(line, Mapping):
        raise LineError("invalid_json_line", "the line is not a JSON object")
    if line.get("method", "POST") != "POST":
        raise LineError("invalid_method", "method: only POST is served")
    if line.get("url") != URL:
        raise LineError("invalid_url", f"url: only {URL} is served")
    body = line.get("body")
    if not isinstance(body, Mapping):
        raise LineError("missing_body", "body: must be an object with messages")
    _refuse_unserved(body)
    system, asked = _messages(body.get("messages"))
    metadata: dict[str, Any] = {"verbatim": True}
    if system:
        metadata["system"] = system
    tokens = body.get("max_completion_tokens", body.get("max_tokens"))
    if tokens is not None:
        metadata["max_tokens"] = tokens
    metadata.update({name: body[name] for name in SAMPLING_KEYS if body.get(name) is not None})
    value: dict[str, Any] = {"description": asked, "custom_id": key, "metadata": metadata}
    model = _model(body.get("model"), models)
    if model:
        value["model"] = model
    schema = _schema(body.get("response_format"))
    if schema is not None:
        value["schema"] = schema
    return value


def custom_id_of(line: object) -> str | None:
    found = line.get("custom_id") if isinstance(line, Mapping) else None
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return found if isinstance(found, str) else None


def output_line(batch_id: str, row: Row) -> dict[str, Any]:
    """A completed task in the output file's format."""
    prompt, completion = row["prompt_tokens"] or 0, row["completion_tokens"] or 0
    body = {
        "id": f"chatcmpl-{row['task_id']}",
        "object": "chat.completion",
        "created": row["ended_at"] or 0,
        "model": row["model"] or "unknown",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": row["result"] or "", "refusal": None},
                "logprobs": None,
                "finish_reason": row.get("finish_reason") or FINISHED,
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    }
    response = {"status_code": 200, "request_id": row["task_id"], "body": body}
    return _line(batch_id, row, response=response, error=None)


def error_line(batch_id: str, row: Row) -> dict[str, Any]:
    """A refused line, or a task that failed or was cancelled, in the error file's format."""
    error = row["error"]
    if error is None and row["status"] == "cancelled":
        error = {"code": "batch_cancelled", "message": "the task was cancelled"}
    if error is None and row["status"] is None:
        error = {"code": "task_gone", "message": "the task's row was deleted"}
    if error is None:
        error = {"code": row["error_code"] or "task_failed", "message": row["last_error"] or ""}
    return _line(batch_id, row, response=None, error=error)


def _line(batch_id: str, row: Row, *, response: Any, error: Any) -> dict[str, Any]:
    return {
        "id": f"batch_req_{batch_id.removeprefix('batch_')}_{row['line']}",
        "custom_id": row["custom_id"],
        "response": response,
        "error": error,
    }


def _refuse_unserved(body: Mapping[str, Any]) -> None:
    if body.get("stream"):
        raise LineError("invalid_parameter", "stream: a batch is not streamed; leave it out")
    if body.get("n") not in (None, 1):
        raise LineError("invalid_parameter", "n: only one answer is made; write 1")
    if body.get("tools"):
        raise LineError("invalid_parameter", "tools: are not served; leave them out")


def _messages(messages: object) -> tuple[str, str]:
    """(the system's texts, what the user asks last); an earlier exchange stands before it."""
    if not isinstance(messages, list) or not messages:
        raise LineError("invalid_messages", "messages: must be a list with a user message")
    system: list[str] = []
    turns: list[tuple[str, str]] = []
    for message in messages:
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise LineError("invalid_messages", "messages: each must have a role and content")
        text = _text(message.get("content"))
        if message["role"] in {"system", "developer"}:
            system.append(text)
        else:
            turns.append((message["role"], text))
    if not turns or turns[-1][0] != "user" or not turns[-1][1].strip():
        raise LineError("invalid_messages", "messages: the last one must be the user's, with text")
    earlier = "\n\n".join(f"{role}: {text}" for role, text in turns[:-1])
    asked = turns[-1][1]
    return "\n\n".join(system), f"{earlier}\n\nuser: {asked}" if earlier else asked


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if not isinstance(content, list):
        raise LineError("invalid_messages", "messages: content must be text")
    parts = []
    for part in content:
        if not isinstance(part, Mapping) or part.get("type") != "text":
            raise LineError("invalid_messages", "messages: only parts of type text are served")
        if not isinstance(part.get("text"), str):
            raise LineError("invalid_messages", "messages: a part of type text needs text")
        parts.append(part["text"])
    return "\n".join(parts)


def _model(model: object, known: Container[str] | None) -> str | None:
    if model is None:
        return None
    if not isinstance(model, str):
        raise LineError("invalid_model", "model: must be text")
    if model.strip().lower() in ANY_MODEL:
        return None
    if known is not None and model not in known:
        raise LineError(
            "model_not_found", f"model: {model[:100]!r} is not here; GET /v1/models, or write auto"
        )
    return model


def _schema(response_format: object) -> dict[str, Any] | None:
    if response_format is None:
        return None
    if not isinstance(response_format, Mapping):
        raise LineError("invalid_response_format", "response_format: must be an object")
    kind = response_format.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    described = response_format.get("json_schema")
    if kind == "json_schema" and isinstance(described, Mapping):
        schema = described.get("schema")
        if isinstance(schema, Mapping):
            return dict(schema)
    raise LineError(
        "invalid_response_format",
        "response_format: write text, json_object, or json_schema with a schema",
    )
