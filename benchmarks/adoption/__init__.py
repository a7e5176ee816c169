"""A foreign database adopted, worked and left as it was."""
