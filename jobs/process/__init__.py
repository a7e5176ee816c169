"""What every program needs: signals, clock, logs, tracing, and names for lease owners.

May import ``settings``. Nothing here knows tasks, servers or queues.
"""
