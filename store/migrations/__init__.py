"""Alembic's folder: one file a change, up and down."""
