"""How fast the dashboard is on a full database."""
