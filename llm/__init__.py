"""Model servers: guarded completions from Ollama, MLX and OpenAI-compatible servers."""
