"""Scripts that Redis runs: one file per operation, each one atomic."""
