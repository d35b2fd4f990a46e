"""The smallest service that can be rolled out; for tests."""

__version__ = "1.0.0"
