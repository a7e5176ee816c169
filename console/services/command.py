"""A prepared program: everything exec needs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from console.services.account import Account


@dataclass(frozen=True, slots=True)
class ServiceCommand:
    """``argv`` run in ``directory`` as ``account`` (None: the present user), with ``environ`` added
    to the environment."""

    argv: tuple[str, ...]
    directory: Path
    account: Account | None = None
    environ: Mapping[str, str] = field(default_factory=dict)

    def exec(self) -> NoReturn:
        """Replace this process by the program, so that it receives the supervisor's signals
        itself."""
        os.chdir(self.directory)
        if self.account is not None:
            self.account.become()
        os.execve(self.argv[0], self.argv, {**os.environ, **self.environ})
