"""Checks of a machine and a deployment, each with its remedy."""
