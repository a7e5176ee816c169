"""The client: one method for each call of the API, and some that wait."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack
from urllib.parse import quote

from kos_client import batches, following
from kos_client.errors import BadInput, TaskFailed
from kos_client.reading import member, read
from kos_client.transport import Transport
from kos_client.values import (
    Backend,
    Batch,
    BatchResult,
    Expert,
    Rejection,
    Status,
    Submitted,
    Task,
    TaskPage,
)

API = "/api/v1"
DEFAULT_URL = "http://127.0.0.1:11480"
PAGE_TASKS = 500
WAIT_SECONDS = 3600.0


class Options(TypedDict, total=False):
    """Options of a submitted task; docs/http-api.md describes each."""

    title: str
    custom_id: str
    priority: str
    category: str
    expert: str
    backend: str
    model: str
    after: Sequence[str]
    schema: Mapping[str, Any]
    files: Sequence[str]
    tags: Sequence[str]
    project: str
    metadata: Mapping[str, Any]


class Client:
    """Speaks to the dashboard at ``url``; one client for each thread.

    Without ``url`` it is KOS_DASHBOARD_URL, else ``http://127.0.0.1:11480``, and the token is
    KOS_DASHBOARD_TOKEN. ``seconds`` is how long the dashboard may be silent in one call.
    Every method raises `KosError` of `kos_client.errors`.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, *, seconds: float = 30.0
    ) -> None:
        if url is None:
            # The token of the environment belongs to the URL of the environment.
            url = os.environ.get("KOS_DASHBOARD_URL") or DEFAULT_URL
            token = token or os.environ.get("KOS_DASHBOARD_TOKEN")
        self._http = Transport(url, token=token, seconds=seconds)

    @property
    def url(self) -> str:
        return self._http.url

    def submit(self, description: str, **options: Unpack[Options]) -> Task:
        """Submit one task. If its ``custom_id`` exists, return the task that has it.

        Raises:
            BadInput: it is refused; the message begins with the field.
        """
        body = {"description": description, **options}
        report = read(Submitted, self._http.post(f"{API}/tasks", body))
        if report.rejected:
            raise BadInput(report.rejected[0].error)
        return self.task((report.ids + report.known_ids)[0])

    def submit_many(self, tasks: Iterable[str | Mapping[str, Any]]) -> Submitted:
        """Submit many tasks, each a text or a mapping with ``description`` and `Options`.

        ``rejected`` lists the refused ones with their line; the others are submitted.
        """
        whole = Submitted()
        for number, page in enumerate(following.parts(tasks, PAGE_TASKS)):
            body = {"tasks": [_as_body(task) for task in page]}
            report = read(Submitted, self._http.post(f"{API}/tasks", body))
            whole = _joined(whole, report, number * PAGE_TASKS)
        return whole

    def task(self, task: Task | str) -> Task:
        """One whole task, by id, by the unique beginning of one, or by custom_id."""
        return read(Task, self._http.get(_path(task)))

    def why(self, task: Task | str) -> list[dict[str, Any]]:
        """Every decision about the task, oldest first."""
        return list(member(self._http.get(_path(task, "/why")), "decisions"))

    def page(self, *, limit: int = 50, offset: int = 0, **filters: Any) -> TaskPage:
        """``limit`` tasks from ``offset``, newest first; filters as in :meth:`tasks`."""
        chosen = {name: value for name, value in filters.items() if value is not None}
        return read(TaskPage, self._http.get(f"{API}/tasks", limit=limit, offset=offset, **chosen))

    def tasks(
        self,
        *,
        status: str | Sequence[str] | None = None,
        backend: str | None = None,
        model: str | None = None,
        expert: str | None = None,
        category: str | None = None,
        tag: str | None = None,
        project: str | None = None,
        error: str | None = None,
        search: str | None = None,
        since: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Task]:
        """Tasks newest first, page after page; ``since`` is a time or an age such as ``2h``."""
        filters = {
            "status": status, "backend": backend, "model": model, "expert": expert,
            "category": category, "tag": tag, "project": project, "error": error,
            "search": search, "since": since,
        }  # fmt: skip
        offset: int | None = 0
        left = limit
        while offset is not None and left != 0:
            size = PAGE_TASKS if left is None else min(left, PAGE_TASKS)
            page = self.page(limit=size, offset=offset, **filters)
            yield from page.tasks
            offset, left = page.next_offset, None if left is None else left - len(page.tasks)

    def wait(self, task: Task | str, timeout_seconds: float = WAIT_SECONDS) -> Task:
        """The task once it has completed, failed or been cancelled.

        Raises:
            TimedOut: it has not; it goes on.
        """
        task_id = task.id if isinstance(task, Task) else self.task(task).id
        ended = following.ended(self.page, [task_id], timeout_seconds=timeout_seconds)
        return self.task(next(ended))

    def result(self, task: Task | str, timeout_seconds: float = WAIT_SECONDS) -> str:
        """The answer, waited for.

        Raises:
            TaskFailed: it failed or was cancelled.
            TimedOut: it has not ended; it goes on.
        """
        done = self.wait(task, timeout_seconds)
        if done.status != "completed" or done.result is None:
            raise TaskFailed(done)
        return done.result

    def as_completed(
        self, tasks: Iterable[Task | str], timeout_seconds: float = WAIT_SECONDS
    ) -> Iterator[Task]:
        """Each task as it ends, the first to end first; strings are whole ids.

        Raises:
            TimedOut: some have not ended; they go on.
        """
        ids = [task.id if isinstance(task, Task) else task for task in tasks]
        return following.ended(self.page, ids, timeout_seconds=timeout_seconds)

    def map(
        self,
        prompts: Iterable[str | Mapping[str, Any]],
        *,
        progress: bool = True,
        timeout_seconds: float = WAIT_SECONDS,
        **options: Unpack[Options],
    ) -> list[Task]:
        """Submit all, wait for all, and return the ended tasks in the order of ``prompts``.

        A failed one is included: see its ``status``. The progress bar is on stderr.

        Raises BadInput where one is refused (the submitted ones are cancelled), and TimedOut where
        some have not ended; they continue.
        """
        bodies = [{**options, **_as_body(prompt)} for prompt in prompts]
        if any("custom_id" in body for body in bodies):
            raise BadInput("map: a custom_id may be there already; use submit_many", param="map")
        report = self.submit_many(bodies)
        if report.rejected:
            self.cancel(*report.ids)
            first = report.rejected[0]
            raise BadInput(f"prompt {first.line}: {first.error}; the others are cancelled")
        done = following.ended(self.page, report.ids, timeout_seconds=timeout_seconds)
        before = following.with_bar(done, total=len(report.ids)) if progress else done
        by_id = {task.id: task for task in before}
        return [by_id[task_id] for task_id in report.ids]

    def stream(self, task: Task | str, timeout_seconds: float = WAIT_SECONDS) -> Iterator[str]:
        """The answer piece by piece as it is written; the pieces end with the whole answer.

        When a new attempt starts, an empty line separates it from the discarded text.

        Raises:
            TimedOut: within ten seconds after ``timeout_seconds``; the task goes on.
        """
        end = time.monotonic() + timeout_seconds
        before = ""
        for text in following.texts(self._http.events(_path(task, "/live")), end=end):
            yield following.more(before, text)
            before = text
        result = self.task(task).result or ""
        if not before.startswith(result):
            yield following.more(before, result)

    def cancel(self, *tasks: Task | str) -> list[str]:
        """Cancel waiting tasks, ask running ones to stop; the ids of both."""
        ids = [task.id if isinstance(task, Task) else task for task in tasks]
        moved: list[str] = []
        for part in following.parts(ids, PAGE_TASKS):
            found = self._http.post(f"{API}/tasks/cancel", {"ids": part})
            moved += [*member(found, "cancelled"), *member(found, "stopping")]
        return moved

    def retry(self, task: Task | str, *, elsewhere: bool = False) -> Task:
        """Run a failed or cancelled task again. ``elsewhere`` excludes the backends and models it
        has tried."""
        self._http.post(_path(task, "/retry"), {"elsewhere": elsewhere})
        return self.task(task)

    def rerun(
        self,
        task: Task | str,
        *,
        model: str | None = None,
        expert: str | None = None,
        backend: str | None = None,
    ) -> Task:
        """Run an ended task once more as a new one, which is returned; the first stays.

        Raises:
            BadInput: it has not ended, or a name is refused.
        """
        written = {"model": model, "expert": expert, "backend": backend}
        changes = {name: value for name, value in written.items() if value is not None}
        return self.task(str(member(self._http.post(_path(task, "/rerun"), changes), "id")))

    def rate(self, task: Task | str, thumb: str | None, note: str = "") -> None:
        """Give ``up`` or ``down`` to the answer, with a note; None takes it back."""
        self._http.post(_path(task, "/feedback"), {"thumb": thumb, "note": note})

    def experts(self) -> list[Expert]:
        found = member(self._http.get(f"{API}/experts"), "experts")
        return [read(Expert, one) for one in found]

    def backends(self) -> list[Backend]:
        found = member(self._http.get(f"{API}/backends"), "backends")
        return [read(Backend, one) for one in found]

    def status(self) -> Status:
        return read(Status, self._http.get(f"{API}/status"))

    def batch_file(self, lines: Path | str | Iterable[Mapping[str, Any]]) -> str:
        """Upload the lines of a batch, or the file at a path; the id of the file."""
        name, content = batches.contents(lines)
        fields = {"purpose": "batch"}
        return str(
            member(self._http.upload("/v1/files", name=name, content=content, fields=fields), "id")
        )

    def create_batch(self, file_id: str, *, metadata: Mapping[str, str] | None = None) -> Batch:
        body = {"input_file_id": file_id, "endpoint": batches.ENDPOINT, "metadata": metadata}
        return read(Batch, self._http.post("/v1/batches", body))

    def batch(self, batch: Batch | str) -> Batch:
        return read(Batch, self._http.get(_batch_path(batch)))

    def cancel_batch(self, batch: Batch | str) -> Batch:
        return read(Batch, self._http.post(_batch_path(batch, "/cancel"), {}))

    def wait_batch(self, batch: Batch | str, timeout_seconds: float = WAIT_SECONDS) -> Batch:
        """Raises TimedOut: it has not ended; it goes on."""
        return following.until_ended(lambda: self.batch(batch), timeout_seconds=timeout_seconds)

    def batch_results(self, batch: Batch | str) -> list[BatchResult]:
        """The answers in the order of the input, then the failures. Empty before the end."""
        found = self.batch(batch)
        files = [file for file in (found.output_file_id, found.error_file_id) if file]
        texts = [self._http.text(f"/v1/files/{quote(file, safe='')}/content") for file in files]
        return [result for text in texts for result in batches.results(text)]

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _path(task: Task | str, rest: str = "") -> str:
    name = task.id if isinstance(task, Task) else task
    if not name.strip():
        raise BadInput("task: is empty; write an id or a custom_id", param="task")
    return f"{API}/tasks/{quote(name, safe='')}{rest}"


def _batch_path(batch: Batch | str, rest: str = "") -> str:
    name = batch.id if isinstance(batch, Batch) else batch
    return f"/v1/batches/{quote(name, safe='')}{rest}"


def _as_body(task: str | Mapping[str, Any]) -> dict[str, Any]:
    return {"description": task} if isinstance(task, str) else dict(task)


def _joined(whole: Submitted, page: Submitted, lines_before: int) -> Submitted:
    moved = tuple(Rejection(one.line + lines_before, one.error) for one in page.rejected)
    return Submitted(
        submitted=whole.submitted + page.submitted,
        duplicates=whole.duplicates + page.duplicates,
        rejected=whole.rejected + moved,
        ids=whole.ids + page.ids,
        known_ids=whole.known_ids + page.known_ids,
    )
