"""What to do about each class of failed attempts. Source: docs/faults.md."""

from __future__ import annotations

from collections.abc import Mapping

REMEDIES: Mapping[str, str] = {
    "unreachable": "The server does not answer. Start it, or correct its URL.",
    "connect_timeout": "The server does not answer. Start it, or correct its URL.",
    "overloaded": "The server has too much to do. Lower its limit, or add a server.",
    "queue_timeout": "The server has too much to do. Lower its limit, or add a server.",
    "not_authorized": "The server refuses the key. Correct the key or the account's credit.",
    "server_failed": "The server reports an error. Its log says more.",
    "first_token_timeout": "The model is too slow or hangs. Look at the server's health.",
    "stall_timeout": "The model is too slow or hangs. Look at the server's health.",
    "total_timeout": "The answer takes too long. Limit max_tokens.",
    "stream_broken": "The connection to the server broke. Its log says more.",
    "truncated_stream": "The connection to the server broke. Its log says more.",
    "load_failed": "The model cannot be loaded. Free memory, or use a smaller model.",
    "load_timeout": "The model loads too slowly. Raise MODEL_LOAD_BUFFER_SEC.",
    "model_not_found": "No server has the model. Install it, or name another one.",
    "model_unsuitable": "The model cannot chat. Name another one.",
    "prompt_too_long": "The request does not fit the model. Shorten it, or use a larger context.",
    "bad_request": "The server refuses the request. Correct its options.",
    "schema_unsupported": "The server cannot enforce the schema. Use another server.",
    "echo": "The model repeats the request. Use a stronger model.",
    "blank": "The model gives no answer. Use a stronger model.",
    "thinking_only": "The model only thinks. Raise max_tokens.",
    "tool_call": "The model calls a tool that nobody offers. Use another model.",
    "repetition": "The model repeats itself. Use a stronger model.",
    "runaway": "The model does not stop. Limit max_tokens.",
    "truncated": "The answer is cut. Raise max_tokens.",
    "refusal": "The model refuses. Rewrite the request, or use another model.",
    "rejected": "The checks find the answer poor. Read it, and accept it or use a stronger model.",
    "opinion": "A second model finds the answer wrong. Read it, and accept it or run it again.",
    "garbage": "The answer is unreadable. Check the model's file, or use another model.",
    "wrong_language": "The answer is in another language. Name the language in the request.",
    "missing_parts": "The answer lacks parts. Raise max_tokens, or ask for less at once.",
    "thin": "The answer announces work and does not do it. Use a stronger model.",
    "template": "The answer holds unfilled placeholders. Give the facts in the request.",
    "schema": "The answer does not fit the schema. Simplify it, or use a stronger model.",
    "refused": "The task asks for what it cannot get: a file, a size, an option. Correct the task.",
    "lost": "A worker died or froze. Its tasks run again by themselves.",
    "interrupted": "A worker was stopped. Its tasks run again by themselves.",
    "poisoned": "This is a fault of ours. The worker's log has the traceback.",
}
"""By the code of an error or a verdict, or by the outcome of an attempt without one."""

OTHERWISE = "The reason of each attempt is on its task's page."


def remedy_of(code: str) -> str:
    return REMEDIES.get(code, OTHERWISE)
