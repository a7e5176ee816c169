"""Wire formats of callers and servers: request bodies and answers. Pure."""
