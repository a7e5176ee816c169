"""Reads the files that a task names: opens them safely, decodes them, and selects relevant
sections."""
