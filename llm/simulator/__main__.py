"""`python -m llm.simulator`."""

from __future__ import annotations

import sys

from llm.simulator.cli import main

sys.exit(main())
