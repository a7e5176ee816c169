"""Keeps the system running: recovery, health checks and restarts, canaries, limits, retention.

May import every other room but ``actors``. A new check belongs in ``health``, a new periodic duty
in a module of its own with a line in ``queues/cron``.
"""
