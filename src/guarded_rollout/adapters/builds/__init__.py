"""Releases of Python services, built from source into virtual environments of their own."""
