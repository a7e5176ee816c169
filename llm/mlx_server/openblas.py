"""A fast BLAS for MLX on Linux, loaded before MLX is, so that its calls find that one first.

The ``mlx-cpu`` wheel brings the reference BLAS, which multiplies 8 x 576 by 576 x 1536 in 5.7 ms;
OpenBLAS takes 0.5. Metal needs none of this.
"""

from __future__ import annotations

import asyncio
import ctypes
import ctypes.util
import os
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import psutil

from llm.cgroups import GroupLimits, group_limits

FORTRAN = b"libgfortran.so.5"
WHEEL_FILE = "cmeel.prefix/lib/libopenblas.so.0"
FIT_SECONDS = 1.0


class OpenBlas:
    """The loaded library, with as many threads as other programs leave cores for.

    OpenBLAS waits for its threads by spinning: where others need the cores, as workers and
    databases do, one thread too many costs more than all of them bring.
    """

    def __init__(self, library: Path, *, threads: int) -> None:
        """``threads`` above 0 is kept as it is. Raises OSError and AttributeError where
        ``library`` is no OpenBLAS."""
        self.library = library
        self._set_threads = ctypes.CDLL(
            str(library), mode=ctypes.RTLD_GLOBAL
        ).openblas_set_num_threads
        self._fixed = threads > 0
        self.threads = threads or most_threads(available_cores())
        self._set_threads(self.threads)  # the most first: later changes start no thread

    async def follow_load(self) -> None:
        """Set the threads every ``FIT_SECONDS`` by the cores that were free meanwhile; runs until
        it is cancelled. Safe during a product: that one keeps the threads it began with."""
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
    """Processor seconds, of the machine without work and of this process, and the time, s."""

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
        """The cores that nobody but this process has used since then."""
        return (self.idle - since.idle + self.own - since.own) / (self.at - since.at)


def load_openblas(*, threads: int) -> OpenBlas | None:
    """Load it for the whole process with ``threads`` threads; 0 follows what others leave.

    Returns None where the system is not Linux or has no library that can be used.
    """
    if sys.platform != "linux" or "mlx.core" in sys.modules:
        return None
    for library in _candidates():
        try:
            _lend_fortran()
            return OpenBlas(library, threads=threads)
        except (OSError, AttributeError):
            continue
    return None


def most_threads(cores: int) -> int:
    """Half the cores, but two where there are two: a step is bound by memory beyond that."""
    return min(cores, max(2, cores // 2))


def fitting_threads(free_cores: float, *, most: int) -> int:
    """As many as there are free cores, rounded, from 1 to ``most``."""
    return max(1, min(most, round(free_cores)))


def available_cores(limits: GroupLimits | None = None) -> int:
    """The whole cores that this process may use: those it is bound to, and what the container
    around it may spend."""
    bound = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quota = (limits or group_limits()).cpu_limit
    return bound if quota is None else max(1, min(bound, int(quota)))


def _candidates() -> list[Path]:
    """The wheel's, then the system's."""
    system = ctypes.util.find_library("openblas")
    found = [_file_of("cmeel-openblas", WHEEL_FILE), Path(system) if system else None]
    return [path for path in found if path is not None]


def _lend_fortran() -> None:
    """Let OpenBLAS find the Fortran runtime that ``mlx-cpu`` brings along.

    The wheel of OpenBLAS asks for ``libgfortran.so.5``, which few systems have installed; that of
    MLX holds it under a name with a hash. A copy in memory gets the plain name back.
    """
    libraries = _file_of("mlx-cpu", "mlx_cpu.libs")
    library = next(libraries.glob("libgfortran-*.so.5*"), None) if libraries else None
    if library is None:
        return
    ctypes.CDLL(str(library))  # loads what it needs itself, which lies beside it
    hashed = library.name.encode() + b"\0"
    copy = library.read_bytes().replace(hashed, FORTRAN.ljust(len(hashed), b"\0"))
    with os.fdopen(os.memfd_create(library.name), "wb") as file:
        file.write(copy)
        file.flush()
        ctypes.CDLL(f"/proc/self/fd/{file.fileno()}")


def _file_of(distribution: str, file: str) -> Path | None:
    try:
        path = Path(str(metadata.distribution(distribution).locate_file(file)))
    except metadata.PackageNotFoundError:
        return None
    return path if path.exists() else None
