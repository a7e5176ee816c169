"""Profiles that come with the simulator."""

from __future__ import annotations
