"""Model files: read, check, convert and keep them in the folder of the MLX API server."""
