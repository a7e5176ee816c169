"""The algorithms that turn a snapshot into blocks: one module for each policy, and their parts."""
