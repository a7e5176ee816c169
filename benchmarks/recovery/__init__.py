"""How long tasks stand still after their worker is gone."""
