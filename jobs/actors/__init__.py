"""Dramatiq actors: thin callers of decisions."""
