"""A house whose programs are stand-ins: real supervisord, real databases, sleeping workers."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from console.supervision.start import Say, up
from console.supervision.stop import down
from jobs.settings.load import Settings, load
from tests.support.ports import own_ports

STAND_IN = """#!/bin/sh
# As python is called: -m MODULE ARGUMENTS
case "$2" in
console.services) exec "{python}" "$@" ;;
console.web) exec "{python}" -m http.server --bind 127.0.0.1 --directory / "$KOS_DASHBOARD_PORT" ;;
gateway) exec "{python}" -m http.server --bind 127.0.0.1 --directory / "$KOS_GATEWAY_PORT" ;;
llm.simulator) exec "{python}" -m http.server --bind 127.0.0.1 --directory / "$6" ;;
esac
if [ -e "{broken}/$2" ]; then
    echo "$2 is broken"
    exit 3
fi
if [ -e "{stubborn}/$2" ]; then
    trap '' TERM
fi
while :; do sleep 1; done
"""


@dataclass(frozen=True)
class House:
    """``broken`` and ``stubborn`` hold a file per module that fails or ignores SIGTERM."""

    home: Path
    python: Path
    broken: Path
    stubborn: Path
    ports: dict[str, str]

    def settings(self, **variables: str) -> Settings:
        dotenv = variables.get("KOS_DOTENV")
        return load(self.environ(**variables), dotenv=Path(dotenv) if dotenv else None)

    def environ(self, **variables: str) -> dict[str, str]:
        nowhere = "http://127.0.0.1:9"
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "KOS_HOME": str(self.home),
            "OLLAMA_API_URL": nowhere,
            "MLX_API_URL": nowhere,
            "MLX_MODELS_DIR": str(self.home / "models"),
            **self.ports,
            **variables,
        }

    def up(
        self,
        *,
        demo: bool = False,
        embedded: bool = False,
        timeout_seconds: float = 60.0,
        say: Say = lambda line: None,
        **variables: str,
    ) -> Settings:
        return up(
            self.settings(**variables),
            demo=demo,
            embedded=embedded,
            say=say,
            environ=self.environ(**variables),
            python=str(self.python),
            prepare=lambda settings, *, demo: (),
            unready=lambda settings, programs: [],
            timeout_seconds=timeout_seconds,
        )


@contextmanager
def stand_in_house() -> Iterator[House]:
    """A home with a space in its path; whatever runs there is stopped at the end."""
    root = Path(tempfile.mkdtemp(prefix="kos house ")).resolve()
    root.chmod(0o711)
    house = House(root / "home", root / "python", root / "broken", root / "stubborn", own_ports())
    for directory in (house.broken, house.stubborn):
        directory.mkdir()
    script = STAND_IN.format(python=sys.executable, broken=house.broken, stubborn=house.stubborn)
    house.python.write_text(script)
    house.python.chmod(0o755)
    try:
        yield house
    finally:
        down(house.settings(), timeout_seconds=3)
        shutil.rmtree(root, ignore_errors=True)
