"""Whole task life against bare dramatiq, and the time from INSERT to the first request."""
