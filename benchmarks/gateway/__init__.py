"""The gateway beside direct calls, with a backlog behind it."""
