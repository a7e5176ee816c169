"""A running system under seeded harm, and the proof that nothing was lost or doubled."""
