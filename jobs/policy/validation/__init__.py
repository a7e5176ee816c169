"""Judges a model's answer: structural checks, each a named part of one score."""
