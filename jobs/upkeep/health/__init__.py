"""Health checks, which are red when they cannot be made, and bounded restarts."""
