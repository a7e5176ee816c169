"""A prepared program: everything exec needs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from console.services.account import Account


@dataclass(frozen=True, slots=True)
class Command:
    """``argv`` run in ``directory`` as ``account`` (None: as whoever we are)."""

    argv: tuple[str, ...]
    directory: Path
    account: Account | None = None

    def exec(self) -> NoReturn:
        """Become the program, so that a supervisor's signals reach it and nobody else."""
        os.chdir(self.directory)
        if self.account is not None:
            self.account.become()
        os.execv(self.argv[0], self.argv)
