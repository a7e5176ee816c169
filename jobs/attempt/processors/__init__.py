"""How a task is worked, by its source."""
