"""Writes programs as supervisor reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from console.supervision.programs import Program

HEADER = "; Rendered by kos up. Changes made here are lost at the next one.\n"
GROUP_PRIORITIES = {"infra": 10, "servers": 20, "jobs": 30, "watch": 50}


def render(programs: Sequence[Program], static: Mapping[str, Sequence[str]]) -> str:
    """The text of ``conf.d/programs.conf``: a section for each of ``programs`` and for each group.

    ``static`` are the programs that ``supervisord.conf`` has, by group: supervisord wants a group
    in one section, so their groups are written here with all members."""
    ordered = sorted(programs, key=lambda program: (program.priority, program.name))
    sections = [_program(program) for program in ordered]
    groups = {group: list(names) for group, names in static.items()}
    for program in ordered:
        groups.setdefault(program.group, []).append(program.name)
    sections += [_group(group, names) for group, names in sorted(groups.items()) if names]
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
    return f"""\
[group:{group}]
programs={",".join(names)}
priority={GROUP_PRIORITIES[group]}
"""
