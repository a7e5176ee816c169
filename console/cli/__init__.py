"""The kos command."""
