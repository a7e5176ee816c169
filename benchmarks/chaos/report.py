"""The table that a run prints."""

from __future__ import annotations

from collections import Counter

from benchmarks.chaos.run import Result
from benchmarks.chaos.stage import LEASE_SECONDS, LIMITS, TOTAL_LIMIT


def report(result: Result) -> str:
    found = result.findings
    harms = Counter(event.harm.value for event in result.events)
    restarts = Counter({name.split("#")[0]: 0 for name in result.died})
    for name, count in result.died.items():
        restarts[name.split("#")[0]] += count
    lines = [
        f"seed {result.seed}: {len(result.events)} harms in {result.chaos_seconds:.0f} s, "
        f"at rest {result.rest_seconds:.1f} s after the last",
        "",
        _table("harm", harms),
        "",
        _table("programs started again", restarts),
        "",
        _table("tasks", found.tasks),
        "",
        _table("attempts", found.attempts),
        "",
        "calls at once          limit   most   with those of frozen processes",
    ]
    for backend, limit in {**LIMITS, "all": TOTAL_LIMIT}.items():
        lines.append(
            f"  {backend:<20} {limit:>5} {found.most_at_once[backend]:>6} "
            f"{found.most_with_frozen[backend]:>6}"
        )
    lines += [
        "",
        f"requests seen by the model servers: {found.requests}",
        f"longest without heartbeat: {max(0.0, result.standstill.running_seconds):.1f} s, "
        f"longest queued: {result.standstill.queued_seconds:.1f} s "
        f"(lease {LEASE_SECONDS:g} s)",
        f"attempts taken from frozen processes: {found.taken_from_frozen}",
        f"whole answers: {found.whole_answers}, thrown away: {found.thrown_away}",
        f"attempts lost to a death: {found.deaths_told}; crashes counted: {found.crashes}, "
        f"poison: {found.poison}",
        f"skipped: {'; '.join(result.skipped) or 'nothing'}",
        "",
        "WRONG: " + "; ".join(found.wrong)
        if found.wrong
        else "nothing lost, nothing doubled, "
        "nothing stuck, no limit exceeded, no answer thrown away, no false crash, "
        "every attempt in the ledger",
    ]
    return "\n".join(lines)


def _table(title: str, counts: Counter[str]) -> str:
    rows = [f"  {name:<40} {count:>6}" for name, count in sorted(counts.items())]
    return "\n".join([title, *rows])
