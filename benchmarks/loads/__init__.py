"""Loads counted against loads done."""
