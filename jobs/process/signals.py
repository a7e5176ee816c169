"""The first steps of every program: settings, logs, signals."""

from __future__ import annotations

import faulthandler
import logging
import signal
import socket
import sys
import threading

from jobs.process import tracing
from jobs.process.logs import configure_logs
from jobs.settings.load import Settings, SettingsError, from_environment

logger = logging.getLogger(__name__)


def prepare(program: str) -> Settings:
    """The settings of this process, with logs configured. Exits with code 2 and one line if they
    are invalid."""
    try:
        settings = from_environment()
    except SettingsError as error:
        print(f"{program}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    faulthandler.enable()  # A program that the processor ends leaves its stack in its log.
    configure_logs(settings.log_format, program=program)
    tracing.configure(settings.otel_endpoint, program=program)
    for warning in settings.warnings:
        logger.warning("%s", warning)
    return settings


class Stop(threading.Event):
    """An event that ``select`` can wait for: ``set`` also makes its descriptor readable.

    A second signal sets ``hurry``: a drain then returns everything at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hurry = threading.Event()
        self._readable, self._writable = socket.socketpair()
        self._writable.setblocking(False)

    def set(self) -> None:
        if not self.is_set():
            super().set()
            self._writable.send(b"\0")

    def fileno(self) -> int:
        return self._readable.fileno()


def stop_on(*signals: signal.Signals) -> Stop:
    """Set by the first of ``signals``; a second one sets ``hurry``."""
    stop = Stop()

    def on_signal(number: int, frame: object) -> None:
        if stop.is_set():
            stop.hurry.set()
        stop.set()

    for one in signals:
        signal.signal(one, on_signal)
    return stop
