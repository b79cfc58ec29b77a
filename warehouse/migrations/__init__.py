"""Alembic migrations of the schemas this repository owns, and of `exam` for local use."""
