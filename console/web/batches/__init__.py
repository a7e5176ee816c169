"""Files and batches in OpenAI's format, on the same queue."""
