"""Delivers the events of tasks, batches and the backlog to webhooks and to a command."""
