"""Calls to model servers (Ollama, MLX, OpenAI-compatible) with deadlines, cancellation and
checks."""
