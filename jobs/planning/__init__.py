"""Turns the backlog into messages: assigns experts, plans blocks, fills free slots.

May import ``queues``, ``admission`` (for limits and resident models), ``policy`` and everything
below. A new rule of choice belongs in ``jobs/policy``; what it needs to know is collected in
``snapshots``.
"""
