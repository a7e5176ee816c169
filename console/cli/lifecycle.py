"""``kos up``, ``down`` and ``ctl``."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import click

from console.cli.app import App, pass_app
from console.cli.error_mapping import UNREACHABLE
from console.cli.framework import Command, Seconds, Word, json_option
from console.cli.output import note, print_json, say

ROLES = ("all", "workers", "control")
CTL_CODES = {0: 0, 2: 2, 4: UNREACHABLE}


@click.command(
    cls=Command,
    examples=(
        ("kos up", "start what is not running"),
        ("kos up --demo", "simulate the model servers that do not answer"),
        ("kos up --role workers", "a host that only calls model servers (more-machines.md)"),
    ),
)
@click.option("--demo", is_flag=True, help="Simulated model servers where none runs; experts.")
@click.option("--embedded", is_flag=True, help="Leave the DATABASE_URL and REDIS_URL on record.")
@click.option("--replace-redis", is_flag=True, help="This Redis replaces the deployment's own.")
@click.option("--role", type=Word(ROLES), metavar="|".join(ROLES), help="What this host does.")
@click.option(
    "--timeout",
    type=Seconds(1),
    default=120.0,
    show_default=True,
    metavar="S",
    help="Seconds without a program that comes.",
)
@json_option
@pass_app
def up_command(
    app: App,
    demo: bool,
    embedded: bool,
    replace_redis: bool,
    role: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Start everything; returns when all is healthy."""
    from console.operations.doctor.servers import silent_servers
    from console.operations.status import programs, urls
    from console.supervision.start import up
    from console.supervision.tables import check_experts_file, prepare_tables
    from jobs.settings.load import shipped
    from jobs.settings.role import Role

    for warning in app.settings.warnings:
        note(f"warning: {warning}", "yellow")
    check_experts_file(app.settings.experts_file)
    started = time.monotonic()
    settings = up(
        app.settings,
        demo=demo,
        embedded=embedded,
        role=Role(role) if role else None,
        prepare=partial(prepare_tables, replace_redis=replace_redis),
        timeout_seconds=timeout,
        say=note if as_json else say,
    )
    app.adopt(settings)
    rows = programs(settings)
    if as_json:
        print_json({"programs": rows, "urls": urls(settings)})
        return
    say(f"{len(rows)} programs run, after {time.monotonic() - started:.1f} s", "green")
    roots = ", ".join(map(str, settings.roots_for_submitting)) or "none; set KOS_FILE_ROOTS"
    say(f"files of tasks may lie in: {roots}")
    for name, url in urls(settings).items():
        say(f"{name}: {url}")
    for line in silent_servers(settings):
        say(line, "yellow")
    examples = f"kos submit --from '{shipped('examples')}/tasks.jsonl' --wait"
    first = examples if demo else 'kos submit "..." --wait'
    say(f"next: {first}, kos watch, kos status", "dim")


@click.command(
    cls=Command,
    examples=(
        ("kos down", "work in flight goes on after `kos up`"),
        ("kos down --purge", "remove this home with its embedded data, also those outside of it"),
    ),
)
@click.option("--timeout", type=Seconds(1), default=30.0, show_default=True, metavar="S")
@click.option("--purge", is_flag=True, help="And remove KOS_HOME with the embedded data.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_app
def down_command(app: App, timeout: float, purge: bool, yes: bool, as_json: bool) -> None:
    """Stop everything; work in flight is kept."""
    from console.services.account import remove_unused_copies
    from console.services.identity import purge as purge_home
    from console.supervision.stop import down

    home = app.settings.home
    if purge and not yes:
        click.confirm(f"Remove {home} with every task in its databases?", abort=True, err=True)
    ran = down(app.settings, timeout_seconds=timeout)
    removed = [str(path) for path in (*purge_home(home), *remove_unused_copies())] if purge else []
    if as_json:
        print_json({"stopped": bool(ran), "removed": removed})
        return
    say("stopped" if ran else "nothing was running")
    for path in removed:
        say(f"removed {path}")


@click.command(
    cls=Command,
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": ["-h", "--help"],
    },
    examples=(
        ("kos ctl status", "every program"),
        ("kos ctl stop jobs:llm-ollama", "let one backend drain and rest"),
        ("kos ctl tail -f watch:health", "what a program writes"),
    ),
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@pass_app
def ctl_command(app: App, arguments: tuple[str, ...]) -> int:
    """Speak to supervisor; everything after `ctl` is passed to supervisorctl."""
    from console.services.errors import ServiceError
    from console.supervision.programs import conf_file
    from console.supervision.status import status
    from jobs.settings.sources import read_home_env

    written = read_home_env(app.settings.home)
    socket = written.get("KOS_SUPERVISOR_SOCKET")
    if socket is None or not Path(socket).exists():
        raise ServiceError("the programs are not running; start them with: kos up")
    status(app.settings)  # supervisorctl itself waits for ever
    command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(conf_file())]
    done = subprocess.run([*command, *arguments], env={**os.environ, **written}, check=False)
    return CTL_CODES.get(done.returncode, 1)
