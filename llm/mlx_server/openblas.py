"""A fast BLAS for MLX on Linux, loaded before MLX so that MLX's calls resolve to it.

The ``mlx-cpu`` wheel contains the reference BLAS, which multiplies 8 x 576 by 576 x 1536 in 5.7 ms;
OpenBLAS needs 0.5 ms. Metal needs none of this.
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
    """The loaded library, with as many threads as other programs leave free cores.

    OpenBLAS threads wait by spinning: if workers or databases need the cores, one thread too many
    costs more than all threads gain.
    """

    def __init__(self, library: Path, *, threads: int) -> None:
        """``threads`` above 0 is fixed. Raises OSError or AttributeError where ``library`` is not
        OpenBLAS."""
        self.library = library
        self._set_threads = ctypes.CDLL(
            str(library), mode=ctypes.RTLD_GLOBAL
        ).openblas_set_num_threads
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

    Returns None where the system is not Linux or has no usable library.
    """
    if sys.platform != "linux" or "mlx.core" in sys.modules:
        return None
    for library in _candidates():
        try:
            _provide_fortran()
            return OpenBlas(library, threads=threads)
        except (OSError, AttributeError):
            continue
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


def _candidates() -> list[Path]:
    """The wheel's library, then the system's."""
    system = ctypes.util.find_library("openblas")
    found = [_file_of("cmeel-openblas", WHEEL_FILE), Path(system) if system else None]
    return [path for path in found if path is not None]


def _provide_fortran() -> None:
    """Let OpenBLAS find the Fortran runtime of ``mlx-cpu``.

    The wheel of OpenBLAS needs ``libgfortran.so.5``, which few systems have installed; the wheel of
    MLX contains it under a name with a hash. A copy in memory gets the plain name.
    """
    libraries = _file_of("mlx-cpu", "mlx_cpu.libs")
    library = next(libraries.glob("libgfortran-*.so.5*"), None) if libraries else None
    if library is None:
        return
    ctypes.CDLL(str(library))  # It loads its own dependencies from the same folder.
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
