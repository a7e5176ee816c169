"""Wire formats: pure builders of the responses of Ollama and OpenAI-compatible servers."""
