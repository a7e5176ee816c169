"""Runs a program as on another host: ``python -m tests.support.another_host NAME MODULE ...``."""

from __future__ import annotations

import runpy
import socket
import sys

if __name__ == "__main__":
    name, module, *arguments = sys.argv[1:]
    socket.gethostname = lambda: name
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
