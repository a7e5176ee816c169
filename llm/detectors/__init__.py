"""Detectors of bad answers: pure and incremental. They accept some bad answers rather than reject a
good one."""
