"""One attempt of one task, from the claim of its row to its recorded outcome.

May import ``planning`` (failover, learned figures), ``admission`` and everything below. A new way
to work a task is a processor; a new rule about an answer belongs in ``jobs/policy/validation``.
"""
