"""``python -m benchmarks.validation``: precision and recall of rejections, and each mistake."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.validation.corpus import BLIND, Judged, Labelled, judged, load


@dataclass(frozen=True, slots=True)
class Measured:
    """A rejection is the positive: precision is the share of rejections that were right."""

    count: int
    precision: float
    recall: float
    mistakes: int


def measured(results: Iterable[Judged]) -> Measured:
    results = list(results)
    rejected = [r for r in results if not r.verdict.ok]
    bad = [r for r in results if not r.labelled.good]
    caught = sum(not r.labelled.good for r in rejected)
    return Measured(
        count=len(results),
        precision=caught / len(rejected) if rejected else 1.0,
        recall=caught / len(bad) if bad else 1.0,
        mistakes=sum(not r.right for r in results),
    )


def main() -> None:
    _report("seen by the authors of the rules", load())
    _report("written without a look at the rules", load(BLIND))


def _report(heading: str, corpus: list[Labelled]) -> None:
    started = time.perf_counter()
    results = judged(corpus)
    seconds = time.perf_counter() - started
    print(f"\n{heading}")
    print(f"{'':14}{'answers':>8}{'precision':>11}{'recall':>9}{'mistakes':>10}")
    _row("all", results)
    for split in sorted({item.split for item in corpus}):
        _row(split, [r for r in results if r.labelled.split == split])
    for lang in ("en", "ru"):
        _row(lang, [r for r in results if r.labelled.lang == lang])
    for kind in sorted({r.labelled.kind for r in results if not r.labelled.good}):
        _row(kind, [r for r in results if r.labelled.kind == kind and not r.labelled.good])
    print(f"{seconds / len(results) * 1e6:.0f} us an answer")
    for result in results:
        if not result.right:
            judgement = "accepted" if result.verdict.ok else "rejected"
            print(f"{judgement} {result.labelled.id}: {result.verdict}")


def _row(name: str, results: list[Judged]) -> None:
    found = measured(results)
    print(
        f"{name:14}{found.count:>8}{found.precision:>11.3f}{found.recall:>9.3f}{found.mistakes:>10}"
    )


if __name__ == "__main__":
    main()
