"""Policies against proven bounds: run ``python -m benchmarks.scheduling``."""
