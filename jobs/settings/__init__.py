"""Reads the environment once, validates it, and names the typo.

May import values of ``llm`` and ``policy`` only. A new setting is one line in ``load``.
"""
