"""A model server that speaks the real wire formats and fails on demand."""
