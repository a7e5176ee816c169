"""Health: checks that are red when they cannot be made, and restarts that do not loop."""
