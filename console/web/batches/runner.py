"""Carries batches from their input file to their output file, one step at a time.

A thread of the dashboard. Every step can be done again after a crash: tasks carry the batch and
the line as their key, lines are inserted once, and a file appears whole or not at all. An advisory
lock keeps two dashboards from doing the same step.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import psycopg2
import redis

from console.operations import submission, tasks
from console.operations.errors import OperationError
from console.operations.submission import Rules
from console.operations.submission_lines import Line, read_lines
from console.web.batches.disk import Disk
from console.web.batches.mapping import (
    as_submission,
    custom_id_of,
    error_line,
    output_line,
)
from jobs.policy.chat_task import ChatTaskError
from models import batch as store
from models import task_views
from models.batch import BatchProgress, StoredBatch
from models.database import DatabaseUnavailable, session
from models.locks import lock_if_free

logger = logging.getLogger(__name__)

STEP_SECONDS = 0.5
IDLE_SECONDS = 5.0
PAGE_LINES = 500
MAX_LINES = 50_000
LOCK_KEY = 0x6B6F73_20

Placed = tuple[int, str | None, str | None, Any]


class BatchRunner:
    """``start`` it once; ``wake`` it when a batch came or changed; ``stop`` joins its thread.

    ``models`` names those that lines may ask for.
    """

    def __init__(self, *, disk: Disk, rules: Rules, models: Callable[[], list[str]]) -> None:
        self._disk = disk
        self._rules = rules
        self._models = models
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wanted.set()

    def stop(self) -> None:
        self._stopping.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wanted.clear()
            busy = False
            try:
                busy = self.step()
            except (DatabaseUnavailable, psycopg2.Error, redis.RedisError, OperationError) as error:
                logger.warning("batches_wait error=%s", str(error).strip().splitlines()[0])
            except Exception:
                # A batch that cannot be carried on must not stop the others for good.
                logger.exception("batch_step_broke")
            self._wanted.wait(STEP_SECONDS if busy else IDLE_SECONDS)

    def step(self) -> bool:
        """One step for every open batch; whether any is open."""
        with session(), lock_if_free(LOCK_KEY) as mine:
            if not mine:
                return True
            found = store.open_batches()
            for batch in found:
                self._carry_on(batch)
        return bool(found)

    def _carry_on(self, batch: StoredBatch) -> None:
        if batch.status == "validating":
            self._begin(batch)
        elif batch.status == "in_progress" and not self._is_expired(batch):
            batch = self._watch(batch)
        elif batch.status == "in_progress":
            self._end_early(batch, to="expired")
        elif batch.status == "cancelling":
            self._end_early(batch, to="cancelled")
        if batch.status == "finalizing":
            self._finish(batch)

    def _begin(self, batch: StoredBatch) -> None:
        path = self._disk.path(batch.input_file_id)
        if not path.is_file():
            self._refuse(batch, "input_file_gone", "the input file was deleted")
            return
        problem = self._problem_of(batch)
        if problem is not None:
            self._refuse(batch, *problem)
            return
        models = frozenset(self._models()) or None
        with path.open("rb") as stream:
            lines = read_lines(stream)
            while page := list(islice(lines, PAGE_LINES)):
                if self._stopping.is_set():
                    return
                placed = self._submit(batch.id, page, models)
                store.add_lines(batch.id, placed)
        found = store.progress(batch.id)
        store.count(batch.id, total=found.total, completed=0, failed=found.failed)
        store.move(batch.id, start=["validating"], to="in_progress")
        logger.info("batch_began batch=%s lines=%d", batch.id, found.total)

    def _problem_of(self, batch: StoredBatch) -> tuple[str, str] | None:
        """Why the file as a whole cannot be run: looked at before any line is submitted."""
        seen: set[str] = set()
        count = 0
        with self._disk.path(batch.input_file_id).open("rb") as stream:
            for line in read_lines(stream):
                count += 1
                custom_id = custom_id_of(line.value)
                if count > MAX_LINES:
                    return "too_many_lines", f"the file has more than {MAX_LINES} lines; split it"
                if custom_id is None and line.error is None:
                    return "missing_custom_id", f"line {line.number}: custom_id is missing"
                if custom_id in seen:
                    return "duplicate_custom_id", f"line {line.number}: {custom_id!r} came before"
                if custom_id is not None:
                    seen.add(custom_id)
        return None if count else ("empty_file", "the file holds no line")

    def _submit(
        self, batch_id: str, page: list[Line], models: frozenset[str] | None
    ) -> list[Placed]:
        placed: list[Placed] = []
        lines: list[Line] = []
        ids = {line.number: custom_id_of(line.value) for line in page}
        for line in page:
            try:
                value = _checked(line, key=_key(batch_id, line.number), models=models)
                lines.append(Line(line.number, value))
            except ChatTaskError as error:
                placed.append((line.number, ids[line.number], None, error.as_json()))
        report = submission.submit(lines, rules=self._rules)
        refused = {one.line: one.error for one in report.rejected}
        for number, message in refused.items():
            refusal = {"code": "invalid_request", "message": message}
            placed.append((number, ids[number], None, refusal))
        keys = [_key(batch_id, line.number) for line in lines]
        by_key = task_views.ids_by_key(keys)
        for line, key in zip(lines, keys, strict=True):
            if line.number not in refused:
                placed.append((line.number, ids[line.number], by_key[key], None))
        return placed

    def _refuse(self, batch: StoredBatch, code: str, message: str) -> None:
        errors = {"object": "list", "data": [
            {"code": code, "message": message, "param": None, "line": None}]}  # fmt: skip
        store.move(batch.id, start=["validating"], to="failed", errors=errors)

    def _watch(self, batch: StoredBatch) -> StoredBatch:
        """The batch as it is afterwards."""
        found = self._count(batch)
        if not found.open and store.move(batch.id, start=["in_progress"], to="finalizing"):
            return replace(batch, status="finalizing")
        return batch

    def _is_expired(self, batch: StoredBatch) -> bool:
        """Its window is over and not every line came to an end in it."""
        found = store.progress(batch.id)
        return bool(batch.is_over and (found.open or found.cancelled))

    def _end_early(self, batch: StoredBatch, *, to: str) -> None:
        wanted = store.task_ids(batch.id)
        if wanted:
            tasks.cancel(wanted)
        if store.progress(batch.id).open:
            self._count(batch)
        else:
            self._write_files(batch, to=to)
            logger.info("batch_%s batch=%s", to, batch.id)

    def _finish(self, batch: StoredBatch) -> None:
        self._write_files(batch, to="completed")
        logger.info("batch_completed batch=%s", batch.id)

    def _write_files(self, batch: StoredBatch, *, to: str) -> None:
        found = self._count(batch)
        changes = {}
        for column, wanted, count in (
            ("output_file_id", True, found.completed),
            ("error_file_id", False, found.failed),
        ):
            if count:
                changes[column] = self._file(batch.id, well=wanted, ended=to)
        store.move(batch.id, start=[batch.status], to=to, **changes)

    def _count(self, batch: StoredBatch) -> BatchProgress:
        found = store.progress(batch.id)
        store.count(
            batch.id,
            total=found.total,
            completed=found.completed,
            failed=found.failed,
        )
        return found

    def _file(self, batch_id: str, *, well: bool, ended: str) -> str:
        file_id = store.new_id("file-")
        name = f"{batch_id}_{'output' if well else 'error'}.jsonl"
        size_bytes = self._disk.write(file_id, _lines(batch_id, well=well, ended=ended))
        store.add_file(file_id, filename=name, purpose="batch_output", size_bytes=size_bytes)
        return file_id


def _checked(line: Line, *, key: str, models: frozenset[str] | None) -> dict[str, Any]:
    if line.error is not None:
        raise ChatTaskError("invalid_json_line", line.error)
    return as_submission(line.value, key=key, models=models)


def _lines(batch_id: str, *, well: bool, ended: str) -> Iterator[bytes]:
    reached = 0
    while rows := store.results(batch_id, after_line=reached, limit=PAGE_LINES):
        reached = rows[-1].line
        for row in rows:
            if (row.status == "completed") is well:
                result_line = (
                    output_line(batch_id, row) if well else error_line(batch_id, row, ended=ended)
                )
                yield json.dumps(result_line, ensure_ascii=False).encode() + b"\n"


def _key(batch_id: str, line: int) -> str:
    return f"{batch_id}:{line}"
