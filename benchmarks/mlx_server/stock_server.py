"""The stock ``mlx_lm.server``, with our BLAS and its listen backlog raised: a fair comparison.

Its backlog of 5 resets many simultaneous connects, which would decide every comparison. Each load
of a model is logged, for it has no count of its own. Takes the arguments of ``mlx_lm.server``.
"""

from __future__ import annotations

import logging
import os
from http.server import ThreadingHTTPServer
from typing import Any

from llm.mlx_server.openblas import load_openblas

logger = logging.getLogger("kos.stock_server")
LISTEN_BACKLOG = 2048


def main() -> None:
    load_openblas(threads=int(os.environ.get("MLX_CPU_THREADS", "0")))
    from mlx_lm import server  # after the BLAS, or MLX finds its own first

    class CountingProvider(server.ModelProvider):
        def _load(self, *arguments: Any) -> None:
            super()._load(*arguments)  # type: ignore[no-untyped-call]
            logger.info("model_loaded %s", arguments[0])

    ThreadingHTTPServer.request_queue_size = LISTEN_BACKLOG
    server.ModelProvider = CountingProvider  # type: ignore[misc]
    server.main()


if __name__ == "__main__":
    main()
