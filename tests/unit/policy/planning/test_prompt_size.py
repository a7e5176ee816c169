from __future__ import annotations

import pytest

from jobs.policy.metadata import TaskOptions
from jobs.policy.prompt_size import MATERIAL_TOKENS, PromptSize, prompt_size


def size(
    *, text_bytes: int = 100, earlier_bytes: int = 0, faults: tuple[str, ...] = (),
    **options: object,
) -> PromptSize:  # fmt: skip
    asked = TaskOptions(**options)  # type: ignore[arg-type]
    return prompt_size(asked, text_bytes=text_bytes, earlier_bytes=earlier_bytes, faults=faults)


@pytest.mark.parametrize(
    "material",
    [{}, {"file_paths": ("a.py",)}, {"source": "dashboard_scout"}, {"earlier_bytes": 90_000}],
)
def test_the_usual_task_needs_the_usual_context_with_material_too(
    material: dict[str, object],
) -> None:
    assert size(**material).num_ctx == 8192  # type: ignore[arg-type]


def test_long_texts_with_material_ask_for_more() -> None:
    assert size(text_bytes=9000).num_ctx == 8192
    assert size(text_bytes=9000, file_paths=("a.py",)).num_ctx == 16384


def test_long_material_is_cut_and_not_asked_room_for_without_end() -> None:
    long = size(earlier_bytes=10_000_000, file_paths=("a.py",))

    assert long.prompt_tokens == size().prompt_tokens + MATERIAL_TOKENS


def test_an_answer_that_was_cut_short_gets_twice_as_many_tokens_and_room_for_them() -> None:
    assert [size(faults=("truncated",) * n).max_tokens for n in range(5)] == [
        1024, 2048, 4096, 8192, 8192,
    ]  # fmt: skip
    assert size(faults=("stall_timeout",)).max_tokens == 1024
    assert size(faults=("truncated", "thinking_only")).num_ctx == 8192
    assert size(faults=("truncated",) * 3, file_paths=("a.py",)).num_ctx == 16384


def test_a_context_that_was_asked_for_is_kept() -> None:
    assert size(num_ctx=32768).num_ctx == 32768
