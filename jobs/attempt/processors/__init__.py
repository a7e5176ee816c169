"""Processors: how a task of a source is turned into model calls."""
