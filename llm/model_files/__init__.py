"""Reads, checks and converts model files, and keeps them in the folder of the MLX API server."""
