"""``python -m benchmarks.chaos.apart MODULE ...``: the program in a pid namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

IN_A_NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


def is_allowed() -> bool:
    """Root may on Linux, unless a container forbids it."""
    if shutil.which(IN_A_NAMESPACE[0]) is None:
        return False
    tried = subprocess.run([*IN_A_NAMESPACE, "true"], capture_output=True, check=False)
    return tried.returncode == 0


if __name__ == "__main__":
    os.execvp(IN_A_NAMESPACE[0], [*IN_A_NAMESPACE, sys.executable, "-m", *sys.argv[1:]])
