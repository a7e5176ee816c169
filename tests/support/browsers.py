"""Finds the browser for tests/browser. ``python -m tests.support.browsers`` prints its path.

Exit status 1: there is none. With ``--install`` playwright's own Chromium is fetched first, which
needs the network but no root.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ON_MACOS = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
INSTALL_SECONDS = 300


def find_browser() -> str | None:
    """A Chromium or Chrome of this system, else the one that playwright fetched."""
    on_path = next(filter(None, map(shutil.which, NAMES)), None)
    if on_path is not None:
        return on_path
    if ON_MACOS.exists():
        return str(ON_MACOS)
    with sync_playwright() as playwright:
        fetched = playwright.chromium.executable_path
    return fetched if Path(fetched).exists() else None


def main() -> int:
    if "--install" in sys.argv[1:]:
        command = [sys.executable, "-m", "playwright", "install", "chromium"]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_SECONDS)
        except (subprocess.SubprocessError, OSError) as error:
            print(f"playwright could not fetch Chromium: {type(error).__name__}", file=sys.stderr)
    found = find_browser()
    print(found or "none")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
