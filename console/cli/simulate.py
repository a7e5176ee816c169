"""``kos simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from console.cli.app import App, pass_app
from console.cli.framework import Command, Word, json_option, suggestion
from console.cli.output import Column, print_json, print_table, say
from console.operations.errors import InvalidInput
from jobs.policy.types import PolicyName

if TYPE_CHECKING:
    from jobs.simulation.result import PrefillTokens, Requests, SimulationResult
    from jobs.simulation.workload import Workload

POLICIES = tuple(policy.value for policy in PolicyName)
COLUMNS = (
    Column("POLICY"),
    Column("MAKESPAN", justify="right"),
    Column("BOUND", justify="right"),
    Column("RATIO", justify="right"),
    Column("RELOADS", justify="right"),
    Column("BOUND", justify="right"),
    Column("WAIT P50", justify="right"),
    Column("WAIT P95", justify="right"),
)


@click.command(
    cls=Command,
    examples=(
        ("kos simulate", "1,000 mixed tasks under the policy of the settings"),
        ("kos simulate --workload bursts --compare", "all policies beside each other"),
        ("kos simulate --workload mine.json --policy fifo --json", "a workload of your own"),
        ("kos simulate --from-history", "the tasks that really ran here"),
        ("kos simulate --slots mlx=8 --another ollama2=ollama", "what if there were more"),
        ("kos simulate --compare --svg day.svg", "a picture: a lane per server, loads hatched"),
    ),
)
@click.option("--workload", metavar="FILE|NAME", help="A JSON file or a name; default: mixed.")
@click.option("--list", "listing", is_flag=True, help="Name the workloads there are.")
@click.option("--from-history", is_flag=True, help="Replay the attempts of this deployment.")
@click.option("--policy", type=Word(POLICIES), metavar="|".join(POLICIES))
@click.option("--compare", is_flag=True, help="Every policy.")
@click.option("--slots", multiple=True, metavar="BACKEND=N", help="What if it had N slots.")
@click.option("--resident", multiple=True, metavar="BACKEND=N", help="What if it held N models.")
@click.option("--another", multiple=True, metavar="NEW=BACKEND", help="What if there were a copy.")
@click.option("--schedule", is_flag=True, help="With --json: when every task and load began.")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Draw it to a file.")
@json_option
@pass_app
def simulate_command(
    app: App,
    workload: str | None,
    listing: bool,
    from_history: bool,
    policy: str | None,
    compare: bool,
    slots: tuple[str, ...],
    resident: tuple[str, ...],
    another: tuple[str, ...],
    schedule: bool,
    svg: Path | None,
    as_json: bool,
) -> None:
    """Run the planner on a virtual clock, beside the least that any planner could need."""
    if listing:
        _list(as_json)
        return
    if compare and policy:
        raise click.UsageError("--compare runs every policy; leave --policy out")
    if from_history and workload:
        raise click.UsageError("choose --workload or --from-history")
    chosen = _of_history(app) if from_history else _of_name(workload or "mixed")
    chosen = _changed(chosen, slots, resident, another)
    policies = list(PolicyName) if compare else [PolicyName(policy or app.settings.policy)]
    results = _simulated(chosen, policies)
    if svg is not None:
        _draw(results, svg)
    if as_json:
        documents = [result.to_json(schedule=schedule) for result in results]
        print_json({"workload": chosen.name, "policies": documents} if compare else documents[0])
        return
    say(f"{chosen.name}: {len(chosen.tasks)} tasks", "bold")
    print_table(COLUMNS, [_cells(result) for result in results], empty="")
    for result in results:
        if result.requests is not None:
            say(_people(result.policy, result.requests))
        if result.prompts is not None:
            say(_reading(result.policy, result.prompts))


def _people(policy: str, requests: Requests) -> str:
    waits = requests.waits
    return (
        f"{policy}: {len(requests.schedule)} requests of people waited {waits.p50:.1f} s (p50), "
        f"{waits.p95:.1f} s (p95), {waits.max:.1f} s (worst); {requests.interruptions} tasks "
        "gave way"
    )


def _reading(policy: str, prompts: PrefillTokens) -> str:
    return (
        f"{policy}: {prompts.computed:,} of {prompts.total:,} prompt tokens are computed, the rest "
        f"is cached; one server in the best order computes {prompts.least:,}"
    )


def _simulated(workload: Workload, policies: list[PolicyName]) -> list[SimulationResult]:
    from jobs.simulation.lower_bound import bounds
    from jobs.simulation.simulate import simulate

    bound = bounds(workload.with_requests_as_tasks)
    return [simulate(workload, policy=policy, known_bounds=bound) for policy in policies]


def _changed(
    workload: Workload, slots: tuple[str, ...], resident: tuple[str, ...], another: tuple[str, ...]
) -> Workload:
    from jobs.simulation.workload import WhatIf, WorkloadError, changed

    what_if = WhatIf(
        slots={name: _number("--slots", name, text) for name, text in _pairs("--slots", slots)},
        resident_models={
            name: _number("--resident", name, text) for name, text in _pairs("--resident", resident)
        },
        copies=dict(_pairs("--another", another)),
    )
    try:
        return changed(workload, what_if)
    except WorkloadError as error:
        raise InvalidInput(str(error)) from error


def _pairs(option: str, written: tuple[str, ...]) -> list[tuple[str, str]]:
    pairs = [text.partition("=") for text in written]
    for name, equals, value in pairs:
        if not (name and equals and value):
            raise InvalidInput(f"{option} {name}{equals}{value}: write NAME=VALUE, such as mlx=8")
    return [(name, value) for name, _, value in pairs]


def _number(option: str, name: str, text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise InvalidInput(f"{option} {name}={text}: the number must be 1 or more")
    return int(text)


def _draw(results: list[SimulationResult], path: Path) -> None:
    from jobs.simulation.timeline import timeline_svg

    try:
        path.write_text(timeline_svg(results), encoding="utf-8")
    except OSError as error:
        raise InvalidInput(
            f"--svg {path}: {error.strerror}; name a file that can be written"
        ) from error


def _of_name(written: str) -> Workload:
    from jobs.simulation.workload import WorkloadError
    from jobs.simulation.workload_json import read_workload
    from jobs.simulation.workloads import WORKLOADS, named

    try:
        if written in WORKLOADS:
            return named(written)
        if Path(written).is_file():
            return read_workload(Path(written))
    except WorkloadError as error:
        raise InvalidInput(f"workload {written}: {error}") from error
    hint = suggestion(written, WORKLOADS) or "`kos simulate --list` names them"
    raise InvalidInput(f"no file and no workload {written!r}: {hint}")


def _of_history(app: App) -> Workload:
    from console.operations.history import workload_of_history

    with app.database():
        return workload_of_history(app.settings)


def _list(as_json: bool) -> None:
    from jobs.simulation.workloads import WORKLOADS

    if as_json:
        print_json(list(WORKLOADS))
        return
    rows = [[name, (build.__doc__ or "").strip().split("\n")[0]] for name, build in
            WORKLOADS.items()]  # fmt: skip
    print_table((Column("WORKLOAD"), Column("WHAT", flexible=True)), rows, empty="")


def _cells(result: SimulationResult) -> list[Any]:
    from console.operations.times import span

    return [
        result.policy,
        span(result.makespan_seconds),
        span(result.lower_bound_seconds),
        f"{result.ratio:.3f}",
        result.reloads,
        result.reload_bound,
        span(result.waits.p50),
        span(result.waits.p95),
    ]
