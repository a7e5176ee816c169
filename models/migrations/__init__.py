"""Add-only migrations."""
