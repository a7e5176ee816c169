"""Rows: tasks, experts, attempts, blocks. No HTTP, no Redis."""
