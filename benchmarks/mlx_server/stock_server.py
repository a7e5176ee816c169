"""The stock ``mlx_lm.server`` with its listen backlog raised, so that comparisons are fair.

Its backlog of 5 resets many simultaneous connects, which would decide every comparison. Takes the
arguments of ``mlx_lm.server``.
"""

from __future__ import annotations

from http.server import ThreadingHTTPServer

from mlx_lm import server

LISTEN_BACKLOG = 2048


def main() -> None:
    ThreadingHTTPServer.request_queue_size = LISTEN_BACKLOG
    server.main()


if __name__ == "__main__":
    main()
