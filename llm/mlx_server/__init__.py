"""The MLX API server: several models, continuous batching, bounded memory and queues."""
