"""What callers and servers speak: bodies to send on, answers to hand back. Pure."""
