"""A prepared program: everything exec needs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from console.services.account import Account


@dataclass(frozen=True, slots=True)
class Command:
    """``argv`` run in ``directory`` as ``account`` (None: as whoever we are), with ``environ`` on
    top of the environment."""

    argv: tuple[str, ...]
    directory: Path
    account: Account | None = None
    environ: Mapping[str, str] = field(default_factory=dict)

    def exec(self) -> NoReturn:
        """Become the program, so that a supervisor's signals reach it and nobody else."""
        os.chdir(self.directory)
        if self.account is not None:
            self.account.become()
        os.execve(self.argv[0], self.argv, {**os.environ, **self.environ})
