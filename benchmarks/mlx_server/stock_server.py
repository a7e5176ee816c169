"""The stock ``mlx_lm.server``, its listen backlog raised so that comparisons are fair.

Its backlog of 5 resets many simultaneous connects, which would decide every comparison. Each load
of a model is logged, for it has no count of its own. Takes the arguments of ``mlx_lm.server``.
"""

from __future__ import annotations

import logging
from http.server import ThreadingHTTPServer
from typing import Any

from mlx_lm import server

logger = logging.getLogger("kos.stock_server")
LISTEN_BACKLOG = 2048


class CountingProvider(server.ModelProvider):
    def _load(self, *arguments: Any) -> None:
        super()._load(*arguments)  # type: ignore[no-untyped-call]
        logger.info("model_loaded %s", arguments[0])


def main() -> None:
    ThreadingHTTPServer.request_queue_size = LISTEN_BACKLOG
    server.ModelProvider = CountingProvider  # type: ignore[misc]
    server.main()


if __name__ == "__main__":
    main()
