"""``/v1/files``, ``/v1/batches`` and ``/v1/models`` as OpenAI's clients speak them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from console.operations import outlook
from console.web.api.answers import ApiError, Json, query_text, whole_number
from console.web.batches.disk import Disk
from console.web.batches.mapping import URL
from console.web.batches.runner import BatchRunner
from console.web.figures import scan
from console.web.pages.plumbing import site_of
from jobs.policy.forecast import SecondsRange
from jobs.process.clock import utc_now
from models import batch as store
from models.base import Row
from models.batch import StoredBatch, StoredFile
from models.database import session

MAX_METADATA_PAIRS = 16
MAX_NAME_CHARS = 255
DAY_SECONDS = 86_400
WINDOW = "24h"


async def upload(request: Request) -> Response:
    """A multipart form with ``file`` and ``purpose=batch``."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise ApiError(415, "send multipart/form-data with file and purpose")
    async with request.form(max_files=1, max_fields=10) as form:
        found, purpose = form.get("file"), form.get("purpose")
        if not isinstance(found, UploadFile):
            raise ApiError(400, "file: is missing", param="file")
        if purpose != "batch":
            raise ApiError(400, "purpose: write batch", param="purpose")
        return Json(_file(await run_in_threadpool(keep, request, found)))


def files(request: Request) -> Response:
    limit = whole_number(request, "limit", default=100, low=1, high=10_000)
    purpose, after = query_text(request, "purpose"), query_text(request, "after")
    with session():
        rows = store.files(purpose=purpose, after=after, limit=limit + 1)
    return _list([_file(row) for row in rows], limit)


def file(request: Request) -> Response:
    return Json(_file(_found_file(request)))


def file_content(request: Request) -> Response:
    return content(request, _found_file(request).id)


def content(request: Request, file_id: str, *, filename: str | None = None) -> Response:
    """The bytes of a file; with ``filename`` a browser saves them under it."""
    path = _disk(request).path(file_id)
    if not path.is_file():
        raise HTTPException(404, "the bytes of this file are gone from KOS_HOME/files")
    return FileResponse(path, media_type="application/octet-stream", filename=filename)


def delete_file(request: Request) -> Response:
    row = _found_file(request)
    with session():
        store.delete_file(row.id)
    _disk(request).delete(row.id)
    return Json({"id": row.id, "object": "file", "deleted": True})


def create_batch(request: Request, body: Any) -> Response:
    if not isinstance(body, dict):
        raise ApiError(400, "the body must be an object")
    endpoint = body.get("endpoint")
    if endpoint != URL:
        raise ApiError(400, f"endpoint: only {URL} is served", param="endpoint")
    metadata = _metadata(body.get("metadata"))
    if body.get("completion_window", WINDOW) != WINDOW:
        raise ApiError(400, "completion_window: write 24h", param="completion_window")
    file_id = body.get("input_file_id")
    with session():
        if not isinstance(file_id, str) or "\x00" in file_id or store.file(file_id) is None:
            raise ApiError(400, "input_file_id: no such file", param="input_file_id")
    return Json(_batch(begin(request, file_id, metadata=metadata)))


def begin(request: Request, file_id: str, *, metadata: dict[str, str] | None) -> StoredBatch:
    """A batch of the lines of that file, which the runner checks and submits."""
    with session():
        row = store.add_batch(
            input_file_id=file_id, endpoint=URL, completion_window=WINDOW, metadata=metadata
        )
    _runner(request).wake()
    return row


def batches(request: Request) -> Response:
    limit = whole_number(request, "limit", default=20, low=1, high=100)
    with session():
        rows = store.batches(after=query_text(request, "after"), limit=limit + 1)
    return _list([_batch(row) for row in rows], limit)


def batch(request: Request) -> Response:
    """With ``eta``: between which moments (seconds since the epoch) its last task is done."""
    row = found_batch(request)
    expected = outlook.as_range(left(request, row), now=utc_now()) or {}
    moments = {name: _seconds(moment) for name, moment in expected.items()}
    return Json({**_batch(row), "eta": moments or None})


def left(request: Request, row: StoredBatch) -> SecondsRange | None:
    """When its last task is done; None where the batch has ended or nothing is planned."""
    if row.status not in store.OPEN:
        return None
    with session():
        return outlook.end_of(store.task_ids(row.id), site_of(request).settings)


def cancel_batch(request: Request, body: Any) -> Response:
    row = cancel(request)
    if row.status != "cancelling":
        raise ApiError(409, f"the batch is {row.status} and cannot be cancelled")
    return Json(_batch(row))


def cancel(request: Request) -> StoredBatch:
    """The batch of the address as it is afterwards: ``cancelling``, or one that had ended."""
    row = found_batch(request)
    with session():
        store.move(row.id, start=["validating", "in_progress"], to="cancelling")
        row = store.batch(row.id) or row
    _runner(request).wake()
    return row


def models(request: Request) -> Response:
    """Every usable model of every server, and ``auto``: the planner chooses."""
    site = site_of(request)
    names = ["auto", *scan.model_names(site.settings, site.redis)]
    data = [
        {"id": name, "object": "model", "created": 0, "owned_by": "knowledge-os-jobs"}
        for name in names
    ]
    return Json({"object": "list", "data": data})


def keep(request: Request, upload: UploadFile) -> StoredFile:
    """The row of an uploaded file of lines, and its bytes on the disk."""
    file_id = store.new_id("file-")
    size_bytes = _disk(request).keep(file_id, upload.file)
    name = (upload.filename or "upload.jsonl").replace("\x00", "")[:MAX_NAME_CHARS]
    with session():
        return store.add_file(file_id, filename=name, purpose="batch", size_bytes=size_bytes)


def _metadata(value: Any) -> dict[str, str] | None:
    if value is None:
        return None
    good = isinstance(value, dict) and len(value) <= MAX_METADATA_PAIRS
    if not good or not all(isinstance(one, str) and "\x00" not in one and len(one) <= 512
                           for pair in value.items() for one in pair):  # fmt: skip
        raise ApiError(400, "metadata: at most 16 pairs of text", param="metadata")
    return cast(dict[str, str], value)


def _found_file(request: Request) -> StoredFile:
    with session():
        row = store.file(_id(request, "file"))
    if row is None:
        raise ApiError(404, "no such file", code="not_found")
    return row


def found_batch(request: Request) -> StoredBatch:
    with session():
        row = store.batch(_id(request, "batch"))
    if row is None:
        raise HTTPException(404, "no such batch")
    return row


def _id(request: Request, name: str) -> str:
    written = str(request.path_params[name])
    return "" if "\x00" in written else written[:100]


def _list(data: list[Row], limit: int) -> Response:
    listed = data[:limit]
    return Json(
        {
            "object": "list",
            "data": listed,
            "first_id": listed[0]["id"] if listed else None,
            "last_id": listed[-1]["id"] if listed else None,
            "has_more": len(data) > limit,
        }
    )


def _file(row: StoredFile) -> Row:
    return {
        "id": row.id,
        "object": "file",
        "bytes": row.bytes,
        "created_at": _seconds(row.created_at),
        "filename": row.filename,
        "purpose": row.purpose,
        "status": "processed",
        "status_details": None,
        "expires_at": None,
    }


def _batch(row: StoredBatch) -> Row:
    times = {name: _seconds(getattr(row, name)) for name in store.TIMES.values()}
    created = _seconds(row.created_at) or 0
    return {
        "id": row.id,
        "object": "batch",
        "endpoint": row.endpoint,
        "errors": row.errors,
        "input_file_id": row.input_file_id,
        "completion_window": row.completion_window,
        "status": row.status,
        "output_file_id": row.output_file_id,
        "error_file_id": row.error_file_id,
        "created_at": created,
        **times,
        "expires_at": created + DAY_SECONDS,
        "expired_at": created + DAY_SECONDS if row.status == "expired" else None,
        "request_counts": {name: getattr(row, name) for name in ("total", "completed", "failed")},
        "metadata": row.metadata,
    }


def _seconds(moment: datetime | None) -> int | None:
    return int(moment.timestamp()) if moment is not None else None


def _disk(request: Request) -> Disk:
    return cast(Disk, request.app.state.disk)


def _runner(request: Request) -> BatchRunner:
    return cast(BatchRunner, request.app.state.runner)
