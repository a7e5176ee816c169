"""The free capacity of the machine, or of the container where that is less.

A failed measurement is an error value, never zero load. The caller caches: a measurement costs file
accesses, and the CPU fraction covers the time since the one before.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from jobs.policy.effective_limit import HostLoad, HostLoadError
from jobs.process.clock import utc_now
from llm.cgroups import CGROUP_ROOT, OWN_CGROUPS, GroupLimits, group_limits

FIRST_CPU_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class _CpuMark:
    at_seconds: float
    busy_seconds: float


class HostMeter:
    """Measures the load between calls. One instance per process, one caller at a time."""

    def __init__(
        self,
        *,
        cgroup_root: Path = CGROUP_ROOT,
        own_cgroups: Path = OWN_CGROUPS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = cgroup_root
        self._own = own_cgroups
        self._clock = clock
        self._mark: _CpuMark | None = None
        self._last_cpu_fraction = 0.0

    def measure(self) -> HostLoad | HostLoadError:
        """The load now. The CPU fraction of the first call covers a tenth of a second."""
        try:
            return self._measured()
        except (OSError, psutil.Error, ValueError, RuntimeError) as error:
            now = utc_now()
            return HostLoadError(now, f"{type(error).__name__}: {error}")

    def _measured(self) -> HostLoad:
        group = group_limits(self._root, self._own)
        memory = psutil.virtual_memory()
        total, available, source = memory.total, memory.available, "host"
        limit, used = group.memory_limit_bytes, group.memory_used_bytes
        if limit is not None and used is not None and limit < total:
            in_group = max(0, limit - used)
            # A full host limits us as a full control group does.
            if in_group / limit <= available / total:
                total, available, source = limit, in_group, "container"
        cpus = float(len(os.sched_getaffinity(0)) if _has_affinity() else os.cpu_count() or 1)
        return HostLoad(
            at=utc_now(),
            ram_fraction=1 - available / total,
            cpu_fraction=self._cpu_fraction(group, cpus),
            ram_total_bytes=total,
            ram_available_bytes=available,
            cpu_count=min(cpus, group.cpu_limit or cpus),
            source=source,
        )

    def _cpu_fraction(self, group: GroupLimits, cpus: float) -> float:
        limited = (
            group.cpu_used_seconds is not None
            and group.cpu_limit is not None
            and group.cpu_limit < cpus
        )
        before = self._mark
        if before is None:
            before = self._cpu_mark(limited)
            time.sleep(FIRST_CPU_SECONDS)
        self._mark = after = self._cpu_mark(limited)
        elapsed = after.at_seconds - before.at_seconds
        if elapsed <= 0:
            return self._last_cpu_fraction
        of_cpus = (group.cpu_limit if limited else None) or float(psutil.cpu_count() or 1)
        fraction = (after.busy_seconds - before.busy_seconds) / elapsed / of_cpus
        self._last_cpu_fraction = min(1.0, max(0.0, fraction))
        return self._last_cpu_fraction

    def _cpu_mark(self, limited: bool) -> _CpuMark:
        if limited:
            used = group_limits(self._root, self._own).cpu_used_seconds or 0.0
            return _CpuMark(self._clock(), used)
        times = psutil.cpu_times()
        waiting = times.idle + getattr(times, "iowait", 0.0)
        # Guest time is part of user time already.
        guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        return _CpuMark(self._clock(), sum(times) - waiting - guest)


def _has_affinity() -> bool:
    return hasattr(os, "sched_getaffinity")
