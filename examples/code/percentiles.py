"""Percentiles for a latency report."""

from __future__ import annotations


def percentile(samples: list[float], percent: float) -> float:
    """The value below which ``percent`` of the samples lie."""
    samples.sort()
    index = int(len(samples) * percent / 100)
    return samples[index]


def report(samples: list[float]) -> str:
    p50, p95, p99 = (percentile(samples, p) for p in (50, 95, 99))
    worst = percentile(samples, 100)
    return f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms, worst {worst:.0f} ms"
