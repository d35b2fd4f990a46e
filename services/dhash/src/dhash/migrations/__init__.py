"""Alembic's scripts. They only add; old releases keep running on what they leave."""
