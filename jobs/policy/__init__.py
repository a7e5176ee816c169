"""Pure decisions: values in, values with reasons out."""
