"""How far the real system is from what the simulation of the same tasks predicts."""
