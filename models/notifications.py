"""Tests whether Postgres delivers notifications over a connection, as the listener needs it."""

from __future__ import annotations

import select
import time
from contextlib import closing
from enum import StrEnum
from uuid import uuid4

import psycopg2

from models.base import fetch_one
from models.database import DatabaseUnavailable, direct_connection

TRIAL_SECONDS = 3.0


class Trial(StrEnum):
    DELIVERED = "heard"
    POOLED = "pooled"
    """A pooler lends the session and forgets LISTEN after a transaction."""
    SILENT = "silent"
    """It is another database, or one that does not notify."""


def try_to_listen(url: str) -> Trial:
    """Listen at ``url`` for a notification that this thread's session sends.

    Raises DatabaseUnavailable where nothing answers at ``url``.
    """
    try:
        with closing(direct_connection(url, "kos-trial")) as listening:
            if listening.behind_pooler:
                return Trial.POOLED
            channel = f"kos_trial_{uuid4().hex}"
            with listening.cursor() as cursor:
                cursor.execute(f"LISTEN {channel}")
            fetch_one("SELECT pg_notify(%s, '')", (channel,))
            deadline = time.monotonic() + TRIAL_SECONDS
            while not listening.notifies and (left := deadline - time.monotonic()) > 0:
                select.select([listening], [], [], left)
                listening.poll()
            return Trial.DELIVERED if listening.notifies else Trial.SILENT
    except psycopg2.Error as error:
        raise DatabaseUnavailable(str(error).strip()) from error
