"""Perceptual difference hashes of the pictures in rulebook PDFs, over HTTP."""

__version__ = "1.0.0"
