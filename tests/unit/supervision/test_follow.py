from __future__ import annotations

from pathlib import Path

from console.supervision.follow import LogFollower


def test_every_line_is_repeated_once_with_its_program(tmp_path: Path) -> None:
    control, worker = tmp_path / "control.log", tmp_path / "llm-mlx.log"
    control.write_text("of yesterday\n")
    said: list[str] = []
    follower = LogFollower(tmp_path, say=said.append)

    with control.open("a") as log:
        log.write("one\nhal")
    worker.write_text('{"program": "llm-mlx"}\n')
    follower.look()
    with control.open("a") as log:
        log.write("f\n")
    follower.look()
    control.rename(tmp_path / "control.log.1")
    with (tmp_path / "control.log.1").open("a") as log:
        log.write("last before the rotation\n")
    control.write_text("first after it\n")
    follower.look()
    follower.look()

    assert said == [
        "control | one",
        '{"program": "llm-mlx"}',
        "control | half",
        "control | last before the rotation",
        "control | first after it",
    ]
