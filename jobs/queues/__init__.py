"""How processes reach each other: the broker, names, control requests, cron lines.

May import ``process`` and ``settings``. A new queue, key or periodic message is named here.
"""
