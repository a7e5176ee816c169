"""A simulation as a picture: one lane per server, a row per slot, blocks coloured by model.

SVG with no dependency. Loads are hatched at their true length, and each has a mark above the lane;
runs of one model in one slot that follow closely are drawn as one bar.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from jobs.simulation.result import ScheduledLoad, ScheduledTask, SimulationResult

WIDTH = 1200
_LEFT = 96
_RIGHT = 16
_SLOT = 10
_LANE_GAP = 18
_HEAD = 40
_COLOURS = (
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bb5566", "#004488",
    "#ddaa33", "#117733", "#88ccee", "#882255", "#44aa99", "#999933", "#cc6677", "#332288",
)  # fmt: skip
_STYLE = (
    "text{font:12px sans-serif;fill:#333}.t{font-weight:bold;font-size:14px}"
    ".a{font-size:11px;fill:#666}.g{stroke:#ddd}.l{fill:url(#load)}.b{fill:#f6f6f6}"
)
_HATCH = (
    '<defs><pattern id="load" width="4" height="4" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="4" height="4" fill="#fff"/>'
    '<rect width="2" height="4" fill="#222"/></pattern></defs>'
)


@dataclass(frozen=True, slots=True)
class _Bar:
    model: str
    slot: int
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class _Scale:
    seconds: float

    def x(self, at: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * at / (self.seconds or 1.0), 1)


def timeline_svg(results: Sequence[SimulationResult]) -> str:
    """One picture; several results stand below each other on one time axis, colours shared."""
    scale = _Scale(max((result.makespan_seconds for result in results), default=1.0))
    models = sorted({entry.model for result in results for entry in result.schedule})
    colours = {model: _COLOURS[n % len(_COLOURS)] for n, model in enumerate(models)}
    parts: list[str] = []
    top = 0.0
    for result in results:
        drawn, top = _panel(result, top, scale, colours)
        parts += drawn
    legend, top = _legend(colours, top + 6)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:.0f}" '
        f'width="{WIDTH}" height="{top:.0f}" role="img"><style>{_STYLE}</style>{_HATCH}'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join([*parts, *legend])}</svg>\n'
    )


def _panel(
    result: SimulationResult, top: float, scale: _Scale, colours: dict[str, str]
) -> tuple[list[str], float]:
    title = (
        f"{result.policy} on {result.workload}: {_duration(result.makespan_seconds)}, "
        f"{result.ratio:.2f} x the lower bound, {result.reloads} loads, "
        f"wait p95 {_duration(result.waits.p95)}"
    )
    parts = [f'<text class="t" x="{_LEFT}" y="{top + 18:.0f}">{escape(title)}</text>']
    y = top + _HEAD
    bottom = y
    for use in result.per_backend:
        bars = _bars([e for e in result.schedule if e.backend == use.name], scale)
        slots = max((bar.slot for bar in bars), default=0) + 1
        loads = [load for load in result.loads if load.backend == use.name]
        parts += _lane(use.name, y, slots, bars, loads, scale, colours)
        bottom = y + slots * _SLOT
        y = bottom + _LANE_GAP
    return [*_axis(top + _HEAD - 6, bottom, scale), *parts], bottom + _LANE_GAP


def _lane(
    name: str,
    y: float,
    slots: int,
    bars: Sequence[_Bar],
    loads: Sequence[ScheduledLoad],
    scale: _Scale,
    colours: dict[str, str],
) -> list[str]:
    height = slots * _SLOT
    parts = [
        f'<text x="8" y="{y + height / 2 + 4:.0f}">{escape(name)}</text>',
        f'<rect class="b" x="{_LEFT}" y="{y:.0f}" width="{WIDTH - _LEFT - _RIGHT}" '
        f'height="{height}"/>',
    ]
    parts += _painted(bars, y, scale, colours)
    parts.append(_strip(loads, y, scale))
    parts.append(_hatched(loads, y, height, scale))
    return parts


def _hatched(loads: Sequence[ScheduledLoad], y: float, height: int, scale: _Scale) -> str:
    spans = [(scale.x(load.start_seconds), scale.x(load.ready_seconds)) for load in loads]
    shapes = [f"M{x:g} {y:g}h{end - x:.1f}v{height}h-{end - x:.1f}z" for x, end in spans]
    return f'<path class="l" d="{"".join(shapes)}"/>'


def _painted(bars: Sequence[_Bar], y: float, scale: _Scale, colours: dict[str, str]) -> list[str]:
    """One path per model, so that a day of tasks stays a small file."""
    paths: dict[str, list[str]] = {}
    for bar in bars:
        x = scale.x(bar.start)
        width = max(scale.x(bar.end) - x, 0.3)
        paths.setdefault(bar.model, []).append(
            f"M{x:g} {y + bar.slot * _SLOT:g}h{width:.1f}v{_SLOT - 1}h-{width:.1f}z"
        )
    return [
        f'<path fill="{colours[model]}" d="{"".join(paths[model])}"/>' for model in sorted(paths)
    ]


def _strip(loads: Sequence[ScheduledLoad], y: float, scale: _Scale) -> str:
    """A mark above the lane for every load, however short."""
    marks = [f"M{scale.x(load.start_seconds):g} {y - 5:g}v4" for load in loads]
    return f'<path stroke="#222" stroke-width="0.6" d="{"".join(marks)}"/>'


def _bars(entries: Iterable[ScheduledTask], scale: _Scale) -> list[_Bar]:
    """Give every task a slot; join what follows with the same model closer than can be seen."""
    closely = max(0.5, 0.4 * scale.seconds / (WIDTH - _LEFT - _RIGHT))
    slots: list[_Bar] = []
    done: list[_Bar] = []
    for entry in sorted(entries, key=lambda e: (e.start_seconds, e.finish_seconds, e.task)):
        free = [n for n, bar in enumerate(slots) if bar.end <= entry.start_seconds + 1e-9]
        slot = max(free, key=lambda n: slots[n].end, default=len(slots))
        bar = _Bar(entry.model, slot, entry.start_seconds, entry.finish_seconds)
        if slot == len(slots):
            slots.append(bar)
            continue
        last = slots[slot]
        if last.model == bar.model and bar.start - last.end < closely:
            slots[slot] = _Bar(bar.model, slot, last.start, bar.end)
        else:
            done.append(last)
            slots[slot] = bar
    return [*done, *slots]


def _axis(top: float, bottom: float, scale: _Scale) -> list[str]:
    step = next(
        (s for s in (10, 30, 60, 300, 600, 1800, 3600, 7200, 14400) if scale.seconds / s <= 12),
        86_400,
    )
    parts = []
    for tick in range(0, int(scale.seconds) + 1, step):
        x = scale.x(float(tick))
        if x > WIDTH - 4 * _RIGHT:
            break
        parts.append(f'<line class="g" x1="{x}" y1="{top:.0f}" x2="{x}" y2="{bottom:.0f}"/>')
        parts.append(f'<text class="a" x="{x + 2:g}" y="{top - 4:.0f}">{_duration(tick)}</text>')
    return parts


def _legend(colours: dict[str, str], top: float) -> tuple[list[str], float]:
    parts, x, y = [], float(_LEFT), top
    entries = [*((f'fill="{colour}"', model) for model, colour in colours.items())]
    for fill, label in [*entries, ('class="l"', "loading a model")]:
        width = 30 + 7 * len(label)
        if x + width > WIDTH - _RIGHT:
            x, y = float(_LEFT), y + 18
        parts.append(f'<rect {fill} x="{x:.0f}" y="{y:.0f}" width="12" height="12"/>')
        parts.append(f'<text x="{x + 17:.0f}" y="{y + 10:.0f}">{escape(label)}</text>')
        x += width
    return parts, y + 24


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
