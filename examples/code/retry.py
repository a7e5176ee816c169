"""Calls a flaky service again until it answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def call_with_retry(function: Callable[[], Any], attempts: int = 5) -> Any:
    delay_seconds = 1
    for _ in range(attempts):
        try:
            return function()
        except Exception:  # noqa: BLE001
            time.sleep(delay_seconds)
            delay_seconds = delay_seconds * 2
    return None
