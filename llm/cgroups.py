"""Limits that Linux control groups (v2 or v1) set for this process; none on other systems."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """The tightest limits of all enclosing control groups; None for no limit. ``memory_used_bytes``
    excludes the file cache that the kernel can reclaim."""

    memory_limit_bytes: int | None = None
    memory_used_bytes: int | None = None
    cpu_limit: float | None = None
    cpu_used_seconds: float | None = None


def group_limits(root: Path = CGROUP_ROOT, own: Path = OWN_CGROUPS) -> GroupLimits:
    """The limits of the control groups of this process; empty where there are none.

    Raises OSError or ValueError when an existing file cannot be read or parsed.
    """
    if not own.exists() or not root.exists():
        return GroupLimits()
    paths = _own_paths(own)
    if (root / "cgroup.controllers").exists():
        return _version_two(root, paths.get("", "/"))
    return _version_one(root, paths)


def _own_paths(own: Path) -> dict[str, str]:
    """Controller -> path of our group; the unified hierarchy has the controller ''."""
    paths = {}
    for line in own.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def _version_two(root: Path, path: str) -> GroupLimits:
    folders = _up_from(root, path)
    memory = _tightest(
        (limit, folder)
        for folder in folders
        if (limit := _number(folder / "memory.max")) is not None
    )
    cpu = _tightest(
        (limit, folder) for folder in folders if (limit := _quota(folder / "cpu.max")) is not None
    )
    used = cpu_used = None
    if memory is not None:
        inactive = _statistic(memory[1] / "memory.stat", "inactive_file") or 0
        used = (_number(memory[1] / "memory.current") or 0) - inactive
    if cpu is not None:
        microseconds = _statistic(cpu[1] / "cpu.stat", "usage_usec")
        cpu_used = None if microseconds is None else microseconds / 1e6
    return GroupLimits(
        None if memory is None else int(memory[0]),
        None if used is None else int(used),
        None if cpu is None else cpu[0],
        cpu_used,
    )


def _version_one(root: Path, paths: dict[str, str]) -> GroupLimits:
    memory = _tightest(
        (limit, folder)
        for folder in _up_from(root / "memory", paths.get("memory", "/"))
        if (limit := _number(folder / "memory.limit_in_bytes")) is not None
    )
    cpu = _tightest(
        (quota / period, folder)
        for folder in _up_from(root / "cpu", paths.get("cpu", "/"))
        if (quota := _number(folder / "cpu.cfs_quota_us")) is not None
        and quota > 0
        and (period := _number(folder / "cpu.cfs_period_us"))
    )
    used = cpu_used = None
    if memory is not None:
        inactive = _statistic(memory[1] / "memory.stat", "total_inactive_file") or 0
        used = (_number(memory[1] / "memory.usage_in_bytes") or 0) - inactive
    if cpu is not None:
        accounting = next(iter(_up_from(root / "cpuacct", paths.get("cpuacct", "/"))), None)
        nanoseconds = None if accounting is None else _number(accounting / "cpuacct.usage")
        cpu_used = None if nanoseconds is None else nanoseconds / 1e9
    return GroupLimits(
        None if memory is None else int(memory[0]),
        None if used is None else int(used),
        None if cpu is None else cpu[0],
        cpu_used,
    )


def _tightest(found: Iterable[tuple[float, Path]]) -> tuple[float, Path] | None:
    return min(found, key=lambda pair: pair[0], default=None)


def _up_from(root: Path, path: str) -> list[Path]:
    """The folder of our group and of its ancestors, as far as they are visible. Inside a container
    the path may be the host's and not mounted; then the mounted root is our group."""
    relative = path.strip("/")
    folder = root / relative if relative and ".." not in relative.split("/") else root
    folders = [folder, *folder.parents]
    return [x for x in folders[: folders.index(root) + 1] if x.is_dir()]


def _number(file: Path) -> float | None:
    """The number in ``file``; None where there is no file or no limit."""
    try:
        text = file.read_text().strip()
    except FileNotFoundError:
        return None
    return None if text == "max" else float(text)


def _quota(file: Path) -> float | None:
    """CPUs by ``cpu.max`` ("quota period", or "max period")."""
    try:
        quota, period = file.read_text().split()
    except FileNotFoundError:
        return None
    return None if quota == "max" else float(quota) / float(period)


def _statistic(file: Path, name: str) -> float | None:
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return None
    for line in lines:
        key, _, value = line.partition(" ")
        if key == name:
            return float(value)
    return None
