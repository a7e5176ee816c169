"""A fast BLAS for MLX on Linux, loaded before MLX so that MLX's calls resolve to it.

The ``mlx-cpu`` wheel contains the reference BLAS, which multiplies 8 x 576 by 576 x 1536 in 5.7 ms;
OpenBLAS needs 0.5 ms. Metal needs none of this.
"""

from __future__ import annotations

import asyncio
import ctypes
import ctypes.util
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import psutil

from llm.cgroups import GroupLimits, group_limits
from llm.mlx_server.elf_symbols import without_prefix

logger = logging.getLogger(__name__)

WHEEL = "scipy-openblas32"
WHEEL_FILE = "scipy_openblas32/lib/libscipy_openblas.so"
WHEEL_PREFIX = b"scipy_"
TRIAL = Path(__file__).with_name("blas_trial.py")
TRIAL_SECONDS = 30.0
FIT_SECONDS = 1.0


class OpenBlas:
    """The loaded library, with as many threads as other programs leave free cores.

    OpenBLAS threads wait by spinning: if workers or databases need the cores, one thread too many
    costs more than all threads gain.
    """

    def __init__(self, library: str, file: str, *, threads: int) -> None:
        """Loads ``file`` and calls it ``library``. ``threads`` above 0 is fixed. Raises OSError or
        AttributeError where it is not OpenBLAS."""
        self.library = library
        self.loaded = ctypes.CDLL(file, mode=ctypes.RTLD_GLOBAL)
        self._set_threads = self.loaded.openblas_set_num_threads
        self._fixed = threads > 0
        self.threads = threads or most_threads(available_cores())
        self._set_threads(self.threads)  # The maximum first: later changes then start no thread.

    async def follow_load(self) -> None:
        """Set the thread count every ``FIT_SECONDS`` by the cores that were free since; runs until
        cancelled. Safe during a product, which keeps the threads it began with."""
        use = _ProcessorUse.now()
        while not self._fixed:
            await asyncio.sleep(FIT_SECONDS)
            earlier, use = use, _ProcessorUse.now()
            fitting = fitting_threads(
                use.free_cores(since=earlier), most=most_threads(available_cores())
            )
            if fitting != self.threads:
                self._set_threads(fitting)
                self.threads = fitting


class _ProcessorUse(NamedTuple):
    """Idle seconds of the machine, processor seconds of this process, and the time (s)."""

    idle: float
    own: float
    at: float

    @classmethod
    def now(cls) -> _ProcessorUse:
        times = psutil.cpu_times()
        return cls(
            times.idle + getattr(times, "iowait", 0.0), time.process_time(), time.monotonic()
        )

    def free_cores(self, *, since: _ProcessorUse) -> float:
        """The cores that no other process has used since ``since``."""
        return (self.idle - since.idle + self.own - since.own) / (self.at - since.at)


def load_openblas(*, threads: int) -> OpenBlas | None:
    """Load the library for the whole process with ``threads`` threads; 0 follows the free cores.

    Returns None where the system is not Linux, or has no library that works on this processor.
    """
    if sys.platform != "linux" or "mlx.core" in sys.modules:
        return None
    for name, file in _candidates():
        try:
            _try_out(file)
            return OpenBlas(name, file, threads=threads)
        except (OSError, AttributeError, subprocess.SubprocessError) as error:
            logger.warning("blas_unusable library=%s error=%s", name, error)
    return None


def most_threads(cores: int) -> int:
    """Half of the cores, at least two of two: beyond that a step is bound by memory."""
    return min(cores, max(2, cores // 2))


def fitting_threads(free_cores: float, *, most: int) -> int:
    """The number of free cores, rounded, from 1 to ``most``."""
    return max(1, min(most, round(free_cores)))


def available_cores(limits: GroupLimits | None = None) -> int:
    """The whole cores that this process may use: limited by CPU affinity and by the container."""
    bound = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quota = (limits or group_limits()).cpu_limit
    return bound if quota is None else max(1, min(bound, int(quota)))


def _candidates() -> Iterator[tuple[str, str]]:
    """What to call a library and what to load: the wheel's, then the system's."""
    try:
        wheel = Path(str(metadata.distribution(WHEEL).locate_file(WHEEL_FILE)))
        image = without_prefix(wheel.read_bytes(), WHEEL_PREFIX)
    except (metadata.PackageNotFoundError, OSError, ValueError) as error:
        logger.warning("blas_unusable library=%s error=%s", WHEEL, error)
    else:
        with os.fdopen(os.memfd_create(wheel.name), "wb") as file:
            file.write(image)
            file.flush()
            yield str(wheel), f"/proc/{os.getpid()}/fd/{file.fileno()}"
    system = ctypes.util.find_library("openblas")
    if system is not None:
        yield system, system


def _try_out(file: str) -> None:
    """Raises SubprocessError where the library fails, ends its process or hangs."""
    command = [sys.executable, "-I", "-S", str(TRIAL), file]
    subprocess.run(command, check=True, capture_output=True, timeout=TRIAL_SECONDS)
