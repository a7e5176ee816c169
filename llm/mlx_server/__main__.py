"""``python -m llm.mlx_server``: serve the models of a folder."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import faulthandler
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from llm.connections import BoundedCalls
from llm.mlx_server.openblas import OpenBlas, load_openblas
from llm.mlx_server.settings import ServerSettings, ServerSettingsError

logger = logging.getLogger(__name__)

BACKLOG = 2048
# Longer than clients keep theirs: closing must not race with a request.
KEEP_CONNECTION_SECONDS = 75
LAST_WORDS_SECONDS = 0.5
EXIT_USAGE = 2
EXIT_ENGINE = 70


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal comes. Returns the exit code: 0 stopped, 2 invalid settings."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = ServerSettings.from_environment(os.environ)
    except ServerSettingsError as error:
        print(f"mlx_server: {error}", file=sys.stderr)
        return EXIT_USAGE
    options = _parser(settings).parse_args(arguments)
    settings = dataclasses.replace(
        settings, api_port=options.port, models_dir=options.models_dir.expanduser()
    )
    # Before mlx-lm is imported: a model name must never cause a download.
    os.environ["HF_HUB_OFFLINE"] = "1"
    faulthandler.enable()  # What the processor ends leaves its stack in the log.
    blas = load_openblas(threads=settings.cpu_threads) if settings.cpu_openblas else None
    if blas is not None:
        logger.info("blas library=%s threads=%d", blas.library, blas.threads)
    elif sys.platform == "linux":
        logger.warning("blas library=reference: about ten times slower than OpenBLAS")
    asyncio.run(_serve(settings, host=options.host, lifeline=options.lifeline, blas=blas))
    return 0


def _parser(settings: ServerSettings) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m llm.mlx_server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=settings.api_port)
    parser.add_argument("--models-dir", type=Path, default=settings.models_dir)
    parser.add_argument(
        "--lifeline", action="store_true", help="stop when standard input is closed"
    )
    return parser


async def _serve(
    settings: ServerSettings, *, host: str, lifeline: bool, blas: OpenBlas | None
) -> None:
    from llm.mlx_server import memory
    from llm.mlx_server.app import build_server
    from llm.mlx_server.local_only import LocalOnly, is_loopback

    memory.return_large_buffers()
    loop = asyncio.get_running_loop()
    built = build_server(settings, loop, give_up=_give_up)
    gc.collect()
    gc.freeze()  # The imports are large and permanent: exclude them from garbage collection.
    config = uvicorn.Config(
        LocalOnly(built.app, bound_to=host) if is_loopback(host) else built.app,
        host=host,
        port=settings.api_port,
        backlog=BACKLOG,
        log_level="warning",
        access_log=False,
        http=BoundedCalls,
        timeout_keep_alive=KEEP_CONNECTION_SECONDS,
        timeout_graceful_shutdown=max(1, int(settings.drain_seconds)),
    )
    server = _DrainingServer(config, drain=built.drain)
    if lifeline:
        await loop.connect_read_pipe(lambda: _Lifeline(server), sys.stdin)
    following = asyncio.create_task(blas.follow_load()) if blas is not None else None
    await server.serve()
    if following is not None:
        following.cancel()


class _DrainingServer(uvicorn.Server):
    """Rejects new requests as soon as a signal comes; requests that were admitted may finish."""

    def __init__(self, config: uvicorn.Config, *, drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._drain = drain

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            host, port = server.sockets[0].getsockname()[:2]
            print(f"mlx_server listening on http://{host}:{port}", flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, the second stops at once. The exit code stays 0: the stop was
        requested."""
        self._drain()
        self.force_exit = self.should_exit
        self.should_exit = True


class _Lifeline(asyncio.Protocol):
    """Stops the server when its parent process closes the other end of the pipe, or dies."""

    def __init__(self, server: _DrainingServer) -> None:
        self._server = server

    def connection_lost(self, error: Exception | None) -> None:
        self._server.handle_exit(signal.SIGTERM, None)


def _give_up(reason: str) -> None:
    """End the process. A short delay lets failed callers receive their errors."""
    logger.critical("giving_up reason=%s", reason)
    asyncio.get_running_loop().call_later(LAST_WORDS_SECONDS, os._exit, EXIT_ENGINE)


if __name__ == "__main__":
    sys.exit(main())
