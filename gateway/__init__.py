"""One address for chat and tasks: the APIs of OpenAI and Ollama in front of all model servers.

A request of a person takes the same slots as a task, and takes them first. May import ``jobs``,
``models`` and ``llm``; nobody imports it. A new wire format belongs in ``dialects``, a new rule of
choice in ``jobs/policy/interactive``.
"""
