"""A model server for tests and demos: real wire formats, simulated models, faults on demand."""
