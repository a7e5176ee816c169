"""Wire formats: pure builders of what Ollama and OpenAI-compatible servers say."""
