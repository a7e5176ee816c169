"""Decides who may use a model server now: slots, limits, rates, breakers and what is in memory.

Everything here is shared by all processes through Redis. May import ``queues``, ``process`` and
``settings``. A new reason to hold a call back belongs here; what a limit should be is decided by
``upkeep/limit_control``.
"""
