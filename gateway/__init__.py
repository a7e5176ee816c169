"""One door for chat and tasks: OpenAI's and Ollama's APIs in front of all model servers.

A request of a person asks for the same slots as a task and goes first. May import ``jobs``,
``models`` and ``llm``; nobody imports it. A new wire format belongs in ``dialects``, a new rule of
choice in ``jobs/policy/interactive``.
"""
