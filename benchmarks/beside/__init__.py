"""Our system and the programs of the one it replaces on one database."""
