"""How people run and watch it."""
