"""Postgres and Redis for a machine that has neither: real ones, as foreground programs."""
