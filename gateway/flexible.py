"""Requests that may wait: each becomes a task of low priority, which survives whatever we do.

``service_tier: "flex"`` keeps the caller waiting for the answer; a caller that was cut off finds
it again by the ``X-KOS-Task`` of the answer's head. ``POST /v1/responses`` with ``background``
answers at once, and the caller asks again.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import Any

import anyio
import anyio.to_thread

from gateway.background import BackgroundWork
from gateway.calls import Call, JsonObject
from gateway.errors import BadCall, GatewayError, UnknownModel
from gateway.names import Target
from jobs.policy.chat_task import ChatTaskError, chat_task
from llm.types import Category
from models import chat_answer
from models.chat_answer import ChatAnswer
from models.database import DatabaseUnavailable, session
from models.states import FINAL_STATES
from models.task import NewTask, Task

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
FLEX = "flex"
TITLE_CHARS = 80
STATUS = {
    "pending": "queued",
    "queued": "queued",
    "in_progress": "in_progress",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}
"""States of a task in the words of OpenAI's responses."""


class FlexibleTaskFailed(GatewayError):
    """The task of a flexible request ended without an answer."""

    status = 502


def is_flexible(call: Call) -> bool:
    return call.body.get("service_tier") == FLEX


def as_task(call: Call, target: Target, caller: str) -> NewTask:
    """Raises BadCall where the request cannot be a task."""
    if target.persona is not None:
        call = call.with_persona(target.persona.system_prompt)
    try:
        task = chat_task(call.body)
    except ChatTaskError as error:
        raise BadCall(str(error)) from error
    metadata: dict[str, Any] = {**task.metadata, "gateway_caller": caller}
    if task.schema is not None:
        metadata["response_schema"] = task.schema
    backend, _, model = call.model.partition("/")
    category = call.model if call.model in set(Category) else None
    if any(place.model == call.model for place in target.places):
        metadata["preferred_model"] = call.model
    elif any((place.backend, place.model) == (backend, model) for place in target.places):
        metadata |= {"preferred_source": backend, "preferred_model": model}
    return NewTask(
        title=task.description.strip().replace("\n", " ")[:TITLE_CHARS],
        description=task.description,
        priority="low",
        category=category,
        metadata=metadata,
    )


class FlexibleTasks(BackgroundWork):
    """Submits tasks and waits for them: one query serves all waiting callers."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[ChatAnswer]] = {}

    async def submit(self, task: NewTask) -> str:
        """The id of the new task."""

        def insert() -> str:
            with session():
                (task_id,) = Task.submit([task])
            assert task_id is not None
            return task_id

        return await anyio.to_thread.run_sync(insert)

    async def read(self, task_id: str) -> ChatAnswer:
        """Raises UnknownModel (404) where no task of a caller has this id."""
        if not _is_id(task_id):
            raise UnknownModel(f"no task of the gateway is named {task_id[:80]!r}")
        found = await anyio.to_thread.run_sync(_read, [task_id])
        if task_id not in found:
            raise UnknownModel(f"no task of the gateway is named {task_id!r}")
        return found[task_id]

    async def cancel(self, task_id: str) -> ChatAnswer:
        await self.read(task_id)

        def request() -> None:
            with session():
                Task.cancel([task_id])

        await anyio.to_thread.run_sync(request)
        return await self.read(task_id)

    async def wait(self, task_id: str) -> ChatAnswer:
        """The task once it has ended; raises FlexibleTaskFailed where it has no answer. One caller
        waits for a task: the one that submitted it."""
        answer = await self.read(task_id)
        if answer.status not in FINAL_STATES:
            future = self._waiting[task_id] = asyncio.get_running_loop().create_future()
            try:
                answer = await future
            finally:
                del self._waiting[task_id]
        if answer.status != "completed":
            raise FlexibleTaskFailed(
                f"task {task_id} {answer.status}: {answer.last_error or 'no reason'}"
            )
        return answer

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._waiting:
                continue
            try:
                found = await anyio.to_thread.run_sync(_read, list(self._waiting))
            except DatabaseUnavailable as error:
                logger.warning("answers_not_read waiting=%d error=%s", len(self._waiting), error)
                continue
            for task_id, row in found.items():
                future = self._waiting.get(task_id)
                if row.status in FINAL_STATES and future is not None and not future.done():
                    future.set_result(row)


def completion(answer: ChatAnswer) -> JsonObject:
    """A whole answer of OpenAI's chat API."""
    message = {"role": "assistant", "content": answer.result or ""}
    reason = answer.finish_reason or "stop"
    return {
        "id": f"chatcmpl-{answer.task_id}",
        "object": "chat.completion",
        "created": int(answer.created_at.timestamp()),
        "model": answer.model or "unknown",
        "service_tier": FLEX,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "usage": _usage(answer, "prompt_tokens", "completion_tokens"),
    }


def response(answer: ChatAnswer) -> JsonObject:
    """An object of OpenAI's responses API."""
    text = {"type": "output_text", "text": answer.result or "", "annotations": [], "logprobs": []}
    message = {
        "type": "message",
        "id": f"msg_{answer.task_id}",
        "role": "assistant",
        "status": "completed",
        "content": [text],
    }
    failed = answer.status == "failed"
    done = answer.status == "completed"
    return {
        "id": f"resp_{answer.task_id}",
        "object": "response",
        "created_at": int(answer.created_at.timestamp()),
        "status": STATUS.get(answer.status, "queued"),
        "background": True,
        "model": answer.model or "unknown",
        "output": [message] if done else [],
        "error": {"code": "server_error", "message": answer.last_error or ""} if failed else None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": _usage(answer, "input_tokens", "output_tokens") if done else None,
    }


def chat_body(body: JsonObject) -> JsonObject:
    """The equivalent chat request of a request of the responses API; raises BadCall."""
    if body.get("background") is not True:
        raise BadCall("background: only true is served; for an answer at once use chat completions")
    value = body.get("input")
    messages = [{"role": "user", "content": value}] if isinstance(value, str) else value
    if not isinstance(messages, list):
        raise BadCall("input: write a text or a list of messages")
    if isinstance(body.get("instructions"), str):
        messages = [{"role": "system", "content": body["instructions"]}, *messages]
    chat: JsonObject = {"model": body.get("model"), "messages": messages}
    for name, field in (("max_output_tokens", "max_tokens"), ("temperature", "temperature"),
                        ("top_p", "top_p")):  # fmt: skip
        if body.get(name) is not None:
            chat[field] = body[name]
    return chat


def _usage(answer: ChatAnswer, read: str, written: str) -> JsonObject:
    prompt, completed = answer.prompt_tokens or 0, answer.completion_tokens or 0
    usage: JsonObject = {read: prompt, written: completed, "total_tokens": prompt + completed}
    if read == "input_tokens":
        usage["input_tokens_details"] = {"cached_tokens": 0}
        usage["output_tokens_details"] = {"reasoning_tokens": 0}
    return usage


def _read(task_ids: list[str]) -> dict[str, ChatAnswer]:
    with session():
        return chat_answer.read(task_ids)


def _is_id(text: str) -> bool:
    """Whether it is an id as we write it. Other forms that Python reads, Postgres does not."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
