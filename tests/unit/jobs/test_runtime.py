from __future__ import annotations

import pytest

from jobs import runtime
from jobs.settings import load
from llm.scan_cache import MemoryScanCache


@pytest.mark.parametrize(("seconds", "kept"), [("0", False), ("3600", True)])
def test_a_scan_is_kept_as_long_as_the_setting_says(
    seconds: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "RedisScanCache", lambda client: MemoryScanCache())
    settings = load(
        {
            "DATABASE_URL": "postgresql://127.0.0.1:1/nowhere",
            "REDIS_URL": "redis://127.0.0.1:1",
            "OLLAMA_API_URL": "http://127.0.0.1:1",
            "MLX_API_URL": "off",
            "KOS_SCAN_CACHE_SECONDS": seconds,
        }
    )

    made = runtime.connect(settings, environ={})
    first, second = made.scanner.scan(), made.scanner.scan()
    made.close()

    assert (first == second) is kept
