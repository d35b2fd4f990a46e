"""How the server and its PDF readers frame what they say to each other."""

import struct

HEADER = struct.Struct(">QB")
"""Before a PDF: its length in bytes, and whether only the exact path is allowed."""
LENGTH = struct.Struct(">Q")
"""Before an answer: its length in bytes; the answer is JSON."""
