"""What every program of ours needs: signals, the clock, logs, tracing, and who owns a lease.

May import ``settings``. Nothing here knows tasks, servers or queues.
"""
