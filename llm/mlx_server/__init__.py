"""The MLX API server: several models, batched, bounded."""
