"""The jobs: the only wing that knows both model servers and rows."""
