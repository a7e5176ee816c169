"""The planners by name, and what they share."""
