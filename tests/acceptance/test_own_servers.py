"""README's path on one's own servers, typed along: it ends with an answer."""

from __future__ import annotations

import re
from pathlib import Path

from jobs.settings.load import PROJECT
from tests.acceptance.house import house
from tests.acceptance.typing_along import newcomers, type_box
from tests.support.simulators import simulator

BOX = re.compile(r"^## On your own servers\n\n```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_readme_on_ones_own_servers_ends_with_an_answer(tmp_path: Path) -> None:
    (box,) = BOX.findall((PROJECT / "README.md").read_text(encoding="utf-8"))
    commands = [line for line in box.splitlines() if line.startswith("kos ")]
    assert [line.split()[1] for line in commands] == ["up", "submit", "doctor"]
    with (
        simulator("ollama", time_scale=100.0, directory=tmp_path) as ollama,
        house(OLLAMA_API_URL=ollama.url, MLX_API_URL="disabled") as made,
    ):
        newcomer = newcomers(made, tmp_path)

        output = type_box("\n".join(commands[:2]), newcomer, tmp_path)

        assert "the built-in Assistant takes every task" in output
        assert "[simulated" in output.splitlines()[-1]
