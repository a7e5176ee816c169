"""Access control: sessions, tokens, hosts, headers."""
