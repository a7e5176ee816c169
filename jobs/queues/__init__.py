"""How processes communicate: the broker, names in Redis, control requests, the cron table.

May import ``process`` and ``settings``. A new queue, key or periodic message is named here.
"""
