"""Reads the environment once, validates it, and suggests a name for a mistyped one.

May import values of ``llm`` and ``policy`` only. A new setting is one line in ``load``.
"""
