"""The demo on the real model. Without network and without the cached file it is skipped by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from console.home import free_port
from jobs.settings.load import PROJECT
from tests.acceptance.house import house
from tests.support.real_model import real_models

FEW_TASKS = """
import sys
from pathlib import Path
from console import demo
demo.EXAMPLES = Path(sys.argv.pop(1))
sys.exit(demo.main())
"""
CHOSEN = ("small-capital", "small-extract-mood", "small-refused-priority")


def test_the_demo_prints_what_a_real_model_said(tmp_path: Path) -> None:
    models = real_models()
    examples = (PROJECT / "examples" / "small-tasks.jsonl").read_text(encoding="utf-8")
    lines = [each for each in examples.splitlines() if json.loads(each)["custom_id"] in CHOSEN]
    (tmp_path / "small-tasks.jsonl").write_text("\n".join(lines), encoding="utf-8")
    port = free_port()
    with house(MLX_API_URL=f"http://127.0.0.1:{port}", MLX_MODELS_DIR=str(models)) as made:
        done = subprocess.run(
            [sys.executable, "-c", FEW_TASKS, str(tmp_path)],
            env=made.environ, cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"mlx: our MLX API server at http://127.0.0.1:{port}" in done.stdout
    assert "The capital of France is Paris." in done.stdout
    assert '"happy"' in done.stdout
    assert "line 3 refused, on purpose" in done.stdout
    assert "the model is tiny" in done.stdout
    assert "simulated" not in done.stdout
