"""Writes programs as supervisor reads them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from console.supervision.programs import ALWAYS_IN_JOBS, Program

HEADER = "; Rendered by kos up. Changes made here are lost at the next one.\n"
GROUP_PRIORITIES = {"infra": 10, "servers": 20, "jobs": 30, "watch": 50}


def render(programs: Sequence[Program]) -> str:
    """The text of ``conf.d/programs.conf``."""
    ordered = sorted(programs, key=lambda program: (program.priority, program.name))
    sections = [_program(program) for program in ordered]
    by_group = sorted(ordered, key=lambda program: program.group)
    for group, members in groupby(by_group, key=lambda program: program.group):
        sections.append(_group(group, [program.name for program in members]))
    return "\n".join([HEADER, *sections])


def _program(program: Program) -> str:
    autostart = "true" if program.starts_by_itself else "%(ENV_KOS_AUTOSTART)s"
    return f"""\
[program:{program.name}]
command={program.command}
directory=%(ENV_KOS_PROJECT)s
priority={program.priority}
autostart={autostart}
autorestart=true
startretries=30
stopsignal={program.stop_signal}
stopasgroup=false
killasgroup=true
stopwaitsecs={program.stop_wait_seconds}
redirect_stderr=true
stdout_logfile=%(ENV_KOS_HOME)s/log/{program.name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
"""


def _group(group: str, names: list[str]) -> str:
    members = [*ALWAYS_IN_JOBS, *names] if group == "jobs" else names
    return f"""\
[group:{group}]
programs={",".join(members)}
priority={GROUP_PRIORITIES[group]}
"""
