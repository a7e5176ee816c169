"""Ports for a house of its own."""

from __future__ import annotations

from console.home import free_port


def own_ports() -> dict[str, str]:
    """Settings: the usual ports would be those of every other test that runs now."""
    names = ("KOS_DASHBOARD_PORT", "KOS_GATEWAY_PORT", "KOS_HEALTH_PORT")
    return {name: str(free_port()) for name in names}
