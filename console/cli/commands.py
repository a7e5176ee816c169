"""Every command, where it lives, and its one line of help: ``kos --help`` imports none of them."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    module: str
    help: str
    attribute: str = ""


SECTIONS: dict[str, dict[str, Entry]] = {
    "Start and stop": {
        "up": Entry("lifecycle", "Start everything; returns when all is healthy."),
        "down": Entry("lifecycle", "Stop everything; work in flight is kept."),
        "status": Entry("status", "Programs, tasks by state, health, addresses."),
        "open": Entry("opening", "Open the dashboard in the browser."),
        "logs": Entry("opening", "The end of a program's log; -f goes on."),
        "config": Entry("config", "Every setting, its value and its source."),
        "ctl": Entry("lifecycle", "Speak to supervisor: start, stop, tail one program."),
        "service": Entry("service", "Start at boot, by systemd or launchd."),
        "doctor": Entry("doctor", "Check this machine and say the remedy of each red line."),
        "adopt": Entry("adopt", "Move in beside another system: look first, then --apply."),
        "backup": Entry("backup", "Write the database into a file that is known to restore."),
        "restore": Entry("backup", "Make the database what a backup holds."),
        "migrate": Entry("migrate", "Create or adopt the tables; show and take back steps."),
    },
    "Tasks": {
        "submit": Entry("submit", "Submit one task, or a JSONL file of them."),
        "projects": Entry("projects", "Projects of tasks: totals, default expert and backend."),
        "templates": Entry("templates", "Tasks with variables: list, show, add, remove."),
        "schedules": Entry("schedules", "Recurring work: list, add, edit, pause, run, remove."),
        "tasks": Entry("tasks", "List tasks, newest first."),
        "show": Entry("show", "One task whole: its timeline, attempts and answer."),
        "why": Entry("show", "Every decision on a task, with what was not chosen."),
        "wait": Entry("wait", "Wait until tasks have ended."),
        "cancel": Entry("actions", "Cancel tasks; running ones are stopped."),
        "retry": Entry("actions", "Send failed or cancelled tasks through again."),
        "accept": Entry("accept", "Take the answer of an attempt as the result."),
        "feedback": Entry("feedback", "Thumbs up and down for answers, by expert and model."),
        "export": Entry("export", "Write tasks as JSONL, one a line."),
    },
    "Look and steer": {
        "watch": Entry("watch", "Full-screen live view, with keys to steer."),
        "experts": Entry("experts", "Experts: list, show, change, import, try a match."),
        "backends": Entry("backends", "Model servers: health, models, limits, breakers."),
        "models": Entry("models", "Models of every server; add, remove, load, unload."),
        "pause": Entry("backends", "Send nothing more to a backend."),
        "resume": Entry("backends", "Send work to a paused backend again."),
        "keys": Entry("keys", "API keys of the gateway's callers: add, list, revoke."),
        "webhooks": Entry("webhooks", "Addresses that are told what happened: add, test, remove."),
        "queues": Entry("queues", "The broker's queues; show, requeue, delete, purge."),
        "plan": Entry("plan", "The plan in force, or what the planner would do now."),
        "recover": Entry("plan", "Look for orphaned and stuck tasks now."),
        "simulate": Entry("simulate", "Run the planner on a virtual clock."),
        "bench": Entry("bench", "Run the measurements of scripts/bench."),
        "mcp": Entry("mcp", "Serve tasks and experts to agents over MCP."),
        "completion": Entry("completion", "Print the completion script of your shell."),
    },
}

COMMANDS: dict[str, Entry] = {
    name: entry for section in SECTIONS.values() for name, entry in section.items()
}
