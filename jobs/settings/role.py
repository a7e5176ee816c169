"""What a host does for its deployment."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    ALL = "all"
    WORKERS = "workers"
    """It calls model servers; databases, planning and pages are on other hosts."""
    CONTROL = "control"
    """Everything but the workers."""

    @property
    def programs(self) -> frozenset[str]:
        """Those of ``supervisord.conf`` that it runs, beside its databases and model servers."""
        if self is Role.WORKERS:
            return frozenset({"health"})
        return frozenset({"scheduler", "listener", "control", "health", "dashboard", "gateway"})

    @property
    def has_workers(self) -> bool:
        """Whether it runs one ``llm-<backend>`` for every model server."""
        return self is not Role.CONTROL
