"""Who may ask for what: sessions, tokens, hosts, headers."""
