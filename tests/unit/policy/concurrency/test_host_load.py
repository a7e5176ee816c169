from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from jobs.policy.effective_limit import HostLoad, HostLoadError
from jobs.upkeep.host_load import HostMeter
from llm.cgroups import GroupLimits, group_limits

GIB = 1024**3


@dataclass
class Groups:
    """A tree of control groups as files."""

    root: Path
    own: Path

    def write(self, name: str, text: str) -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    def limits(self) -> GroupLimits:
        return group_limits(self.root, self.own)

    def meter(self) -> HostMeter:
        return HostMeter(cgroup_root=self.root, own_cgroups=self.own)


@pytest.fixture
def version_two(tmp_path: Path) -> Groups:
    groups = Groups(tmp_path / "cgroup", tmp_path / "own")
    groups.write("cgroup.controllers", "cpu memory")
    groups.own.write_text("0::/outer/inner\n")
    return groups


@pytest.fixture
def version_one(tmp_path: Path) -> Groups:
    groups = Groups(tmp_path / "cgroup", tmp_path / "own")
    groups.own.write_text("4:memory:/job\n1:cpu,cpuacct:/job\n")
    return groups


def test_outside_any_container_the_host_is_measured(tmp_path: Path) -> None:
    meter = HostMeter(cgroup_root=tmp_path / "none", own_cgroups=tmp_path / "none")

    load = meter.measure()

    assert isinstance(load, HostLoad)
    assert load.ram_total_bytes == psutil.virtual_memory().total
    assert 0 < load.ram_fraction < 1
    assert 0 <= load.cpu_fraction <= 1
    assert 1 <= load.cpu_count <= (os.cpu_count() or 1)
    assert load.source == "host"


def test_the_tightest_limit_of_all_enclosing_groups_counts(version_two: Groups) -> None:
    version_two.write("outer/inner/memory.max", "max")
    version_two.write("outer/memory.max", str(2 * GIB))
    version_two.write("outer/memory.current", str(GIB))
    version_two.write("outer/memory.stat", f"anon 5\ninactive_file {GIB // 2}")
    version_two.write("outer/inner/cpu.max", "50000 100000")
    version_two.write("outer/cpu.max", "max 100000")
    version_two.write("outer/inner/cpu.stat", "usage_usec 3000000")

    limits = version_two.limits()

    assert limits == GroupLimits(2 * GIB, GIB // 2, 0.5, 3.0)


def test_version_one_groups_are_read_too(version_one: Groups) -> None:
    version_one.write("memory/job/memory.limit_in_bytes", str(GIB))
    version_one.write("memory/job/memory.usage_in_bytes", str(GIB // 2))
    version_one.write("memory/job/memory.stat", f"total_inactive_file {GIB // 4}")
    version_one.write("cpu/job/cpu.cfs_quota_us", "150000")
    version_one.write("cpu/job/cpu.cfs_period_us", "100000")
    version_one.write("cpuacct/job/cpuacct.usage", "2000000000")

    assert version_one.limits() == GroupLimits(GIB, GIB // 4, 1.5, 2.0)


def test_an_unlimited_quota_is_no_limit(version_one: Groups) -> None:
    version_one.write("cpu/job/cpu.cfs_quota_us", "-1")
    version_one.write("cpu/job/cpu.cfs_period_us", "100000")

    assert version_one.limits().cpu_limit is None


def test_a_path_that_is_not_mounted_falls_back_to_the_root(version_two: Groups) -> None:
    version_two.own.write_text("0::/../../elsewhere\n")
    version_two.write("memory.max", str(GIB))

    assert version_two.limits().memory_limit_bytes == GIB


def test_a_container_near_its_limit_is_loaded_though_the_host_is_not(version_two: Groups) -> None:
    version_two.write("outer/inner/memory.max", str(GIB))
    version_two.write("outer/inner/memory.current", str(GIB * 95 // 100))

    load = version_two.meter().measure()

    assert isinstance(load, HostLoad)
    assert load.ram_fraction == pytest.approx(0.95, abs=0.001)
    assert (load.ram_total_bytes, load.source) == (GIB, "container")


def test_a_roomy_container_on_a_fuller_host_shows_the_host(version_two: Groups) -> None:
    version_two.write("outer/inner/memory.max", str(GIB))
    version_two.write("outer/inner/memory.current", "0")

    load = version_two.meter().measure()

    assert isinstance(load, HostLoad)
    assert load.source == "host"


def test_cpu_is_measured_against_the_quota_of_the_container(version_two: Groups) -> None:
    version_two.write("outer/inner/cpu.max", "50000 100000")
    version_two.write("outer/inner/cpu.stat", "usage_usec 1000000")
    ticks = iter([10.0, 20.0, 30.0])
    meter = HostMeter(
        cgroup_root=version_two.root, own_cgroups=version_two.own, clock=lambda: next(ticks)
    )
    first = meter.measure()
    version_two.write("outer/inner/cpu.stat", "usage_usec 5000000")

    second = meter.measure()

    assert isinstance(first, HostLoad)
    assert isinstance(second, HostLoad)
    assert first.cpu_fraction == 0
    assert second.cpu_fraction == pytest.approx(4.0 / 10.0 / 0.5)
    assert second.cpu_count == 0.5


def test_what_cannot_be_read_is_an_error_and_not_zero_load(version_two: Groups) -> None:
    version_two.write("outer/inner/memory.max", "not a number")

    load = version_two.meter().measure()

    assert isinstance(load, HostLoadError)
    assert "not a number" in load.error
